package ann

// table says at which row the vector of a slot lies. It is in pages, because
// slots only ever rise: what lies below the oldest slot in use costs 8 bytes for
// 1024 slots, and not 4 for each.
type table struct {
	pages []*tablePage
}

const tablePageSlots = 1024

type tablePage struct {
	used int
	row  [tablePageSlots]uint32 // row + 1; 0 is none
}

// tablePageBytes is about what a page takes.
const tablePageBytes = 4*tablePageSlots + 8

// get gives the row of a slot, or -1.
func (t *table) get(slot uint32) int {
	i := int(slot / tablePageSlots)
	if i >= len(t.pages) || t.pages[i] == nil {
		return -1
	}
	return int(t.pages[i].row[slot%tablePageSlots]) - 1
}

func (t *table) set(slot uint32, row int) {
	i := int(slot / tablePageSlots)
	for len(t.pages) <= i {
		t.pages = append(t.pages, nil)
	}
	if t.pages[i] == nil {
		t.pages[i] = new(tablePage)
	}
	p := t.pages[i]
	if p.row[slot%tablePageSlots] == 0 {
		p.used++
	}
	p.row[slot%tablePageSlots] = uint32(row) + 1
}

// remove forgets a slot that is in the table.
func (t *table) remove(slot uint32) {
	i := int(slot / tablePageSlots)
	p := t.pages[i]
	p.row[slot%tablePageSlots] = 0
	if p.used--; p.used == 0 {
		t.pages[i] = nil
	}
}

func (t *table) bytes() int {
	n := 8 * cap(t.pages)
	for _, p := range t.pages {
		if p != nil {
			n += tablePageBytes
		}
	}
	return n
}
