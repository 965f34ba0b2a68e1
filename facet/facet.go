package facet

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
)

// noSlot is no slot; the greatest slot is one less.
const noSlot = ^uint32(0)

// Entry is what the index is told of one version of a node. Values are as
// memory's Normalize leaves them; the strings are copied.
type Entry struct {
	Slot    uint32
	Ordinal memory.Ordinal // not 0
	Version uint32
	Kind    memory.Kind
	Born    memory.LSN // of the record that made this version
	Stored  time.Time

	Happened   *memory.Interval // nil is unknown
	Tags       []string
	People     []string
	Stream     string
	Place      *memory.Place
	Metadata   memory.Metadata
	Expires    *time.Time // from then on it is not seen; nil is never
	Suppressed bool       // holds for the node: for its earlier versions too
}

// Row is what the index knows of a slot without its words.
type Row struct {
	Ordinal    memory.Ordinal
	Version    uint32
	Kind       memory.Kind
	Born, Died memory.LSN // seen from Born to before Died; Died 0: it stands
	Stored     time.Time
	Time       time.Time // when it happened (its beginning), else when it was stored
	Suppressed bool
}

// Index is the facets of one space. See the package doc for who locks it.
type Index struct {
	blocks []*block // nil: none of its slots is in use
	latest slotTable
	dict   dictionary

	current *bitset.BitSet  // stands and is not suppressed, expired or not
	count   int             // of current
	hidden  *roaring.Bitmap // suppressed slots; nil: none

	dead     sorted[memory.LSN] // dead slots by when they died
	expiring sorted[instant]    // slots that expire, by when

	next   uint32     // the least slot that may come
	live   int        // slots that stand
	slots  int        // slots in use
	newest memory.LSN // the last that was told
	floor  memory.LSN

	scratch row // of Put
	keys    []string
}

// New makes an empty index.
func New() *Index {
	return &Index{
		current:  &bitset.BitSet{},
		dead:     sorted[memory.LSN]{compare: cmp.Compare[memory.LSN]},
		expiring: sorted[instant]{compare: instant.compare},
	}
}

// row is an entry with its words as terms.
type row struct {
	slot       uint32
	ordinal    memory.Ordinal
	version    uint32
	kind       memory.Kind
	born, died memory.LSN
	stored     instant
	expires    instant
	happened   bool
	from, to   instant
	placed     bool
	position   [3]float64
	hidden     bool
	terms      []uint32 // a key before its values
	numbers    []number
}

type number struct {
	key    uint32 // term of the key
	listed bool
	value  float64
}

// Put adds a version of a node. The version that stood before it dies at
// e.Born, and the node is suppressed or not as e says. Slots come in ascending
// order; one that does not, or the ordinal 0, is a bug of the caller and panics.
func (x *Index) Put(e Entry) {
	if e.Slot < x.next || e.Slot == noSlot || e.Ordinal == 0 {
		panic(fmt.Sprintf("facet: slot %d of ordinal %d where slot %d or a later one comes", e.Slot, e.Ordinal, x.next))
	}
	if before := x.latest.get(e.Ordinal); before != noSlot {
		x.hide(e.Ordinal, e.Suppressed)
		x.die(before, e.Born)
	}
	r := &x.scratch
	*r = row{
		slot: e.Slot, ordinal: e.Ordinal, version: e.Version, kind: e.Kind, born: e.Born,
		stored: instantOf(e.Stored), expires: never, hidden: e.Suppressed,
		terms: r.terms[:0], numbers: r.numbers[:0],
	}
	if e.Expires != nil {
		r.expires = instantOf(*e.Expires)
	}
	if e.Happened != nil {
		r.happened, r.from, r.to = true, instantOf(e.Happened.From), instantOf(e.Happened.To)
	}
	x.words(r, &e)
	x.insert(r)
	x.newest = max(x.newest, e.Born)
}

// words turns the words of an entry into terms and numbers.
func (x *Index) words(r *row, e *Entry) {
	for _, tag := range e.Tags {
		r.terms = append(r.terms, x.dict.findOrAdd(fieldTag, 0, tag))
	}
	for _, person := range e.People {
		r.terms = append(r.terms, x.dict.findOrAdd(fieldPerson, 0, person))
	}
	if e.Stream != "" {
		r.terms = append(r.terms, x.dict.findOrAdd(fieldStream, 0, e.Stream))
	}
	if p := e.Place; p != nil {
		if p.Name != "" {
			r.terms = append(r.terms, x.dict.findOrAdd(fieldPlace, 0, folded(p.Name)))
		}
		if p.Lat != nil && p.Lon != nil {
			r.placed, r.position = true, unitVector(*p.Lat, *p.Lon)
		}
	}
	if len(e.Metadata) == 0 {
		return
	}
	x.keys = sortedKeys(e.Metadata, x.keys)
	for _, name := range x.keys {
		key := x.dict.findOrAdd(fieldKey, 0, name)
		r.terms = append(r.terms, key)
		x.value(r, key, e.Metadata[name], false)
	}
	clear(x.keys) // keeps no string of the caller
}

func (x *Index) value(r *row, key uint32, v any, listed bool) {
	switch v := v.(type) {
	case string:
		r.terms = append(r.terms, x.dict.findOrAdd(fieldString, key, v))
	case bool:
		r.terms = append(r.terms, x.dict.findOrAdd(boolField(v), key, ""))
	case float64:
		r.numbers = append(r.numbers, number{key, listed, v + 0}) // -0 + 0 is 0: they are equal
	case []any:
		r.terms = append(r.terms, x.dict.findOrAdd(fieldList, key, ""))
		for _, item := range v {
			x.value(r, key, item, true)
		}
	}
}

func boolField(v bool) field {
	if v {
		return fieldTrue
	}
	return fieldFalse
}

// insert puts a row where it belongs.
func (x *Index) insert(r *row) {
	b, i := x.blockFor(r.slot)
	b.write(i, r, x.latest.get(r.ordinal))
	x.insertTerms(b, r)
	b.endTerms(i)
	for _, n := range r.numbers {
		x.dict.keys[n.key].column(n.listed).add(r.slot, n.value)
	}
	x.latest.set(r.ordinal, r.slot)
	x.next = r.slot + 1
	x.slots++
	if r.expires != never {
		x.expiring.add(r.expires, r.slot)
	}
	if r.hidden {
		x.markHidden(r.slot)
	}
	x.current.Set(uint(r.slot)) // also when it is not seen: the set is as long as the slots are
	x.count++
	if r.hidden || r.died != 0 {
		x.unsee(r.slot)
	}
	if r.died != 0 {
		x.dead.add(r.died, r.slot)
		return
	}
	x.live++
}

func (x *Index) insertTerms(b *block, r *row) {
	listed := false
	for _, id := range r.terms {
		t := x.dict.at(id)
		if !t.add(r.slot) {
			continue // a word that is said twice counts once
		}
		b.terms = append(b.terms, id)
		switch t.field {
		case fieldKey:
			listed = false // its values follow, after the mark of a list
		case fieldList:
			listed = true
		case fieldString:
			if !listed {
				x.dict.keys[t.key].texts.add(r.slot, id)
			}
		}
	}
}

func (k *keyFacet) column(listed bool) *numbers {
	if listed {
		return &k.listed
	}
	return &k.alone
}

func (x *Index) blockFor(slot uint32) (*block, int) {
	n := int(slot / blockSlots)
	for len(x.blocks) <= n {
		x.blocks = append(x.blocks, nil)
	}
	if x.blocks[n] == nil {
		x.blocks[n] = newBlock()
	}
	return x.blocks[n], int(slot % blockSlots)
}

// find gives the block and place of a slot that is in use, or nil.
func (x *Index) find(slot uint32) (*block, int) {
	n, i := int(slot/blockSlots), int(slot%blockSlots)
	if n >= len(x.blocks) || x.blocks[n] == nil || !x.blocks[n].holds(i) {
		return nil, 0
	}
	return x.blocks[n], i
}

// versions shows the slots of a node that are in use, the latest first.
func (x *Index) versions(ord memory.Ordinal, show func(slot uint32)) {
	for slot := x.latest.get(ord); slot != noSlot; {
		b, i := x.find(slot)
		if b == nil {
			return // the versions before were purged
		}
		show(slot)
		slot = valueAt(b.prev, i, noSlot)
	}
}

// End says that a node is gone from LSN at on. Its slot stays for older views
// until Purge. A node that is gone or was never there is let be.
func (x *Index) End(ord memory.Ordinal, at memory.LSN) {
	x.newest = max(x.newest, at)
	if slot := x.latest.get(ord); slot != noSlot {
		x.die(slot, at)
	}
}

// die ends a slot unless it is dead.
func (x *Index) die(slot uint32, at memory.LSN) {
	b, i := x.find(slot)
	if valueAt(b.died, i, 0) != 0 {
		return
	}
	at = max(at, 1) // 0 means that it stands
	x.newest = max(x.newest, at)
	b.died = put(b.died, i, at, 0)
	x.dead.add(at, slot)
	x.live--
	x.unsee(slot)
}

// unsee takes a slot out of what is visible now.
func (x *Index) unsee(slot uint32) {
	if x.current.Test(uint(slot)) {
		x.current.Clear(uint(slot))
		x.count--
	}
}

// Suppress keeps a node out of selections, or lets it in again. It holds for
// every view, also those older than at: a walk that is under way leaves the node
// out and neither skips nor repeats another. A node that is gone or was never
// there is let be.
func (x *Index) Suppress(ord memory.Ordinal, suppressed bool, at memory.LSN) {
	x.newest = max(x.newest, at)
	x.hide(ord, suppressed)
}

func (x *Index) hide(ord memory.Ordinal, hidden bool) {
	x.versions(ord, func(slot uint32) {
		if hidden {
			x.markHidden(slot)
			x.unsee(slot)
			return
		}
		if x.hidden == nil || !x.hidden.CheckedRemove(slot) {
			return
		}
		if b, i := x.find(slot); valueAt(b.died, i, 0) == 0 {
			x.current.Set(uint(slot))
			x.count++
		}
	})
}

func (x *Index) markHidden(slot uint32) {
	if x.hidden == nil {
		x.hidden = roaring.New()
	}
	x.hidden.Add(slot)
}

func (x *Index) isHidden(slot uint32) bool { return x.hidden != nil && x.hidden.Contains(slot) }

// Purge forgets the slots that died at or before an LSN and returns them,
// ascending, for the other indexes to forget. Views before it can no longer be
// answered; Floor says so. It takes about 2 us a slot: a caller with many, who
// must not keep readers waiting, purges in steps.
func (x *Index) Purge(before memory.LSN) []uint32 {
	var slots []uint32
	x.dead.cut(func(died memory.LSN) bool { return died > before }, func(_ memory.LSN, slot uint32) {
		slots = append(slots, slot)
	})
	x.floor = max(x.floor, before)
	slices.Sort(slots)
	x.forget(slots)
	return slots
}

// Floor is the LSN of the latest Purge. Select and Visible have no right answer
// for a view below it: the caller refuses one (KindGone).
func (x *Index) Floor() memory.LSN { return x.floor }

// Newest is the greatest LSN that Put, End or Suppress was told.
func (x *Index) Newest() memory.LSN { return x.newest }

// Next is the least slot that Put takes: one more than the greatest ever given.
func (x *Index) Next() uint32 { return x.next }

// Erase forgets a node at once, for all views, and returns its slots, ascending,
// for the other indexes to forget. No word that only it had is left in memory,
// nor in what Save writes from now on.
func (x *Index) Erase(ord memory.Ordinal) []uint32 {
	var slots []uint32
	x.versions(ord, func(slot uint32) { slots = append(slots, slot) })
	slices.Sort(slots)
	x.forget(slots)
	x.dead.keep(func(_ memory.LSN, slot uint32) bool { return !has(slots, slot) })
	return slots
}

// forget takes slots, which ascend, out of all but dead.
func (x *Index) forget(slots []uint32) {
	expired := false
	for n, slot := range slots {
		b, i := x.find(slot)
		expired = expired || valueAt(b.expires, i, never) != never
		x.forgetOne(b, i, slot)
		if n == len(slots)-1 || slots[n+1]/blockSlots != slot/blockSlots {
			b.rezone() // once for a block
		}
	}
	if expired {
		x.expiring.keep(func(_ instant, slot uint32) bool { return !has(slots, slot) })
	}
	x.dict.sweep()
}

func has(ascending []uint32, slot uint32) bool {
	_, ok := slices.BinarySearch(ascending, slot)
	return ok
}

func (x *Index) forgetOne(b *block, i int, slot uint32) {
	for _, id := range b.termsOf(i) {
		if x.dict.at(id).field == fieldKey {
			k := x.dict.keys[id]
			k.alone.remove(slot)
			k.listed.remove(slot)
			k.texts.remove(slot)
		}
		x.dict.drop(id, slot)
	}
	if ord := memory.Ordinal(b.ord[i]); x.latest.get(ord) == slot {
		x.latest.remove(ord)
	}
	if valueAt(b.died, i, 0) == 0 {
		x.live--
	}
	x.unsee(slot)
	if x.hidden != nil {
		x.hidden.Remove(slot)
	}
	x.slots--
	b.wipe(i)
	if b.used == 0 {
		x.blocks[slot/blockSlots] = nil
	}
}

// Live gives the slot of the version of a node that stands, suppressed and
// expired ones too; false when there is none.
func (x *Index) Live(ord memory.Ordinal) (uint32, bool) {
	slot := x.latest.get(ord)
	if slot == noSlot {
		return 0, false
	}
	b, i := x.find(slot)
	return slot, valueAt(b.died, i, 0) == 0
}

// Ordinal is that of a slot; 0 when it was purged, erased or never given.
func (x *Index) Ordinal(slot uint32) memory.Ordinal {
	if b, i := x.find(slot); b != nil {
		return memory.Ordinal(b.ord[i])
	}
	return 0
}

// At says what is known of a slot; false when it was purged, erased or never
// given.
func (x *Index) At(slot uint32) (Row, bool) {
	b, i := x.find(slot)
	if b == nil {
		return Row{}, false
	}
	r := Row{
		Ordinal: memory.Ordinal(b.ord[i]), Version: valueAt(b.version, i, 1), Kind: b.kind[i],
		Born: b.born[i], Died: valueAt(b.died, i, 0), Stored: b.stored.at(i).time(), Suppressed: x.isHidden(slot),
	}
	r.Time = r.Stored
	if b.happened != nil && b.happened.has(i) {
		r.Time = b.happened.from.at(i).time()
	}
	return r, true
}

// Visible gives the slots that stand at a view, are not suppressed and not
// expired at now, and how many they are. For the newest view it is a set that is
// kept ready. The set is read only and valid while the lock is held.
func (x *Index) Visible(view memory.LSN, now time.Time) (*bitset.BitSet, int) {
	set, count := x.current, x.count
	if view < x.newest {
		set = x.past(view)
		count = int(set.Count())
	}
	return x.unexpired(set, count, instantOf(now))
}

// All says whether a set that Visible gave is of all slots that stand: an index that holds
// those alone need not be told.
func (x *Index) All(visible *bitset.BitSet) bool { return visible == x.current && x.count == x.live }

// past makes the set of an older view from the present one.
func (x *Index) past(view memory.LSN) *bitset.BitSet {
	set := x.current.Clone()
	for n, b := range x.blocks {
		if b == nil || b.maxBorn <= view {
			continue
		}
		for i, born := range b.born {
			if born > view {
				set.Clear(uint(n*blockSlots + i))
			}
		}
	}
	seen := func(died memory.LSN) bool { return died <= view }
	x.dead.between(seen, func(memory.LSN) bool { return false }, func(slot uint32) {
		if b, i := x.find(slot); b.born[i] <= view && !x.isHidden(slot) {
			set.Set(uint(slot))
		}
	})
	return set
}

// unexpired takes out what has expired; it copies the set when there is such a
// one and it is not a copy yet.
func (x *Index) unexpired(set *bitset.BitSet, count int, now instant) (*bitset.BitSet, int) {
	x.expiring.between(func(instant) bool { return false }, func(t instant) bool { return t.compare(now) > 0 }, func(slot uint32) {
		if !set.Test(uint(slot)) {
			return
		}
		if set == x.current {
			set = set.Clone()
		}
		set.Clear(uint(slot))
		count--
	})
	return set, count
}

// Stats is the size of an index.
type Stats struct {
	Slots   int // in use: Live and dead ones not purged
	Live    int // that stand, suppressed and expired ones too
	Visible int // that stand and are not suppressed
	Terms   int // words and metadata values
	Bytes   int // of memory, about
}

// Stats says how large the index is. It walks over its parts: some milliseconds
// for a million slots.
func (x *Index) Stats() Stats {
	s := Stats{Slots: x.slots, Live: x.live, Visible: x.count, Terms: x.dict.terms()}
	s.Bytes = 600 + 8*cap(x.blocks) + 8*cap(x.latest.pages) + 8*cap(x.current.Words()) +
		x.dead.bytes(16) + x.expiring.bytes(24) + x.dict.bytes()
	for _, b := range x.blocks {
		if b != nil {
			s.Bytes += b.bytes()
		}
	}
	for _, p := range x.latest.pages {
		if p != nil {
			s.Bytes += 8 + 4*tableSlots
		}
	}
	if x.hidden != nil {
		s.Bytes += int(x.hidden.GetSizeInBytes())
	}
	return s
}

func (d *dictionary) bytes() int {
	n := 4 * cap(d.free)
	for _, chunk := range d.chunks {
		n += 24 + 72*cap(chunk)
		for i := range chunk {
			n += chunk[i].posting.bytes() + len(chunk[i].text)
			if chunk[i].n > 0 {
				n += 32 // in its map
			}
		}
	}
	for _, k := range d.keys {
		n += 320 + k.alone.bytes() + k.listed.bytes() + k.texts.bytes() + k.ordered.bytes(24)
	}
	return n
}

// earthRadius is the mean radius in metres (IUGG).
const earthRadius = 6371008.8

// unitVector is the point of the unit sphere at a position in degrees.
func unitVector(lat, lon float64) [3]float64 {
	sinLat, cosLat := math.Sincos(lat * math.Pi / 180)
	sinLon, cosLon := math.Sincos(lon * math.Pi / 180)
	return [3]float64{cosLat * cosLon, cosLat * sinLon, sinLat}
}
