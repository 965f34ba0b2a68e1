package ann

import (
	"io"
	"slices"
	"sort"

	"github.com/engramdb/engram/memory"
)

// Passages are saved as their graph is (docs/format/ann.md), and its lists end with where
// each passage stands. Numbers are given anew when they are loaded, so that those of
// passages that have gone cost nothing.

// Saving begins a snapshot, as Graph.Saving does.
func (p *Passages) Saving() *Saving { return p.index.begin(p.list()) }

// Save writes the passages, so that LoadPassages makes equal ones, as Graph.Save does.
func (p *Passages) Save(w io.Writer) error { return p.Saving().Write(w, alone{}) }

// list is how many slots there are, and of each: it, the number of its first passage, how
// many it has, and where each begins and ends.
func (p *Passages) list() []uint32 {
	all := make([]uint32, 1, 1+3*len(p.of)+2*p.index.Len())
	all[0] = uint32(len(p.of))
	for i := 0; i < len(p.parts); {
		slot := p.parts[i].slot
		n, ok := p.of[slot]
		if !ok || n.first != uint32(i) { // it has gone
			i++
			continue
		}
		all = append(all, slot, n.first, n.count)
		for range n.count {
			all = append(all, p.parts[i].span.From, p.parts[i].span.To)
			i++
		}
	}
	return all
}

// LoadPassages makes the passages that Save wrote to b, of slots below a number: of another
// one they are corrupt. What is said of LoadGraph holds for b and for the errors; Adopt (of
// Links) and Verify are the graph's.
func LoadPassages(b []byte, dim int, m memory.Metric, slots uint32) (*Passages, error) {
	p := newPassages(nil)
	g, err := loadGraph(b, dim, m, &passagesLoader{p, slots})
	if err != nil {
		return nil, err
	}
	if p.index = g; g.Len() != len(p.parts) {
		return nil, corrupt("passages without vectors")
	}
	return p, nil
}

// passagesLoader reads the list of passages.
type passagesLoader struct {
	*Passages
	below uint32 // all slots are
}

// number reads the list of passages, and gives the rows that have one its new number.
func (l *loader) number(lives func(row int) bool) error {
	if l.of == nil {
		return nil
	}
	before, err := l.of.read(l.passages)
	if err != nil {
		return err
	}
	same := true
	for row, number := range l.slots {
		if !lives(row) {
			continue
		}
		i := sort.Search(len(before), func(i int) bool { return before[i].before > number }) - 1
		if i < 0 || number-before[i].before >= before[i].count {
			return corrupt("a vector of no passage")
		}
		l.slots[row] = before[i].first + number - before[i].before
		same = same && l.slots[row] == number
	}
	if !same && l.flat == nil {
		l.chooseEntries()
	}
	return nil
}

// chooseEntries takes those that the new numbers choose: the next ones to come are chosen by
// theirs. Where they choose none, those stay that are.
func (l *loader) chooseEntries() {
	var rows []uint32
	for row, s := range l.states {
		if s == linked && hash(l.slots[row]) <= l.head.Below {
			rows = append(rows, uint32(row))
		}
	}
	if len(rows) > 0 {
		l.entries.rows = rows
	}
}

// renumbered is where the passages of a slot were and are.
type renumbered struct{ before, first, count uint32 }

// read fills p from a list. It gives the numbers that slots had, which rise.
func (p *passagesLoader) read(list []uint32) ([]renumbered, error) {
	if len(list) == 0 {
		return nil, corrupt("passages")
	}
	var numbers []renumbered
	next := uint64(0) // no number below it comes
	slots := list[0]
	for list = list[1:]; len(list) > 0; {
		if len(list) < 3 {
			return nil, corrupt("passages")
		}
		slot, before, count := list[0], list[1], list[2]
		list = list[3:]
		if _, twice := p.of[slot]; twice || slot >= p.below || count == 0 || uint64(before) < next || uint64(len(list)) < 2*uint64(count) {
			return nil, corrupt("passages")
		}
		next = uint64(before) + uint64(count)
		n := number{uint32(len(p.parts)), count}
		if !p.readSpans(slot, list[:2*count]) {
			return nil, corrupt("a passage")
		}
		list = list[2*count:]
		numbers = append(numbers, renumbered{before, n.first, count})
		p.of[slot] = n
		p.slots.Set(uint(slot))
	}
	if uint64(slots) != uint64(len(numbers)) || next > 1<<32 {
		return nil, corrupt("passages")
	}
	p.parts = slices.Clip(p.parts)
	return numbers, nil
}

// readSpans adds the passages of a slot, each of which ends behind the one before.
func (p *passagesLoader) readSpans(slot uint32, ends []uint32) bool {
	for i := 0; i < len(ends); i += 2 {
		s := Span{ends[i], ends[i+1]}
		if s.From >= s.To || i > 0 && s.To < ends[i-1] {
			return false
		}
		p.parts = append(p.parts, passage{slot, s})
	}
	return true
}

// Has says whether a slot has passages.
func (p *Passages) Has(slot uint32) bool {
	_, ok := p.of[slot]
	return ok
}

// Rows is how many rows a snapshot says that it has, before it is loaded: what they take
// in memory can be asked for first. 0 for what is no snapshot.
func Rows(b []byte, dim int, m memory.Metric) int {
	h, _, err := NewGraph(dim, m).open(b)
	if err != nil {
		return 0
	}
	return int(h.Count)
}
