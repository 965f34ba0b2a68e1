package facet

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
	"pgregory.net/rapid"
)

var epoch = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// genTime draws times that are often equal, often a nanosecond apart, and
// sometimes in years that UnixNano cannot hold.
func genTime(t *rapid.T) time.Time {
	base := rapid.SampledFrom([]time.Time{epoch, epoch, epoch.Add(time.Hour),
		time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0).UTC()}).Draw(t, "base")
	return base.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "step")) * rapid.SampledFrom([]time.Duration{1, time.Second}).Draw(t, "unit"))
}

func genWords(t *rapid.T, most int) []string {
	return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "é"}), 0, most).Draw(t, "words")
}

func genScalar(t *rapid.T) any {
	switch rapid.IntRange(0, 3).Draw(t, "type") {
	case 0:
		return rapid.Bool().Draw(t, "bool")
	case 1:
		return rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, 1.5, 1e300, math.MaxFloat64, 5e-324}).Draw(t, "number")
	}
	return rapid.SampledFrom([]string{"", "a", "ab", "b", "2024-05-01"}).Draw(t, "string")
}

func genMetadata(t *rapid.T) memory.Metadata {
	m := memory.Metadata{}
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		key := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "key")
		m[key] = genScalar(t)
		if rapid.IntRange(0, 3).Draw(t, "list") == 0 {
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "entries") {
				list = append(list, genScalar(t))
			}
			m[key] = list
		}
	}
	return m
}

func genPlace(t *rapid.T) *memory.Place {
	p := &memory.Place{Name: rapid.SampledFrom([]string{"", "Wien", "WIEN", "Köln", "kÖLN", "ſ", "S"}).Draw(t, "place")}
	if p.Name == "" || rapid.Bool().Draw(t, "position") {
		lat, lon := rapid.Float64Range(-90, 90).Draw(t, "lat"), rapid.Float64Range(-180, 180).Draw(t, "lon")
		p.Lat, p.Lon = &lat, &lon
	}
	return p
}

func genKind(t *rapid.T) memory.Kind {
	return rapid.SampledFrom([]memory.Kind{memory.KindEpisode, memory.KindEpisode, memory.KindConcept, memory.KindEntity}).Draw(t, "kind")
}

func genEntry(t *rapid.T) Entry {
	e := Entry{
		Kind: genKind(t), Stored: genTime(t), Tags: genWords(t, 4), People: genWords(t, 2),
		Stream: rapid.SampledFrom([]string{"", "s", "t"}).Draw(t, "stream"), Metadata: genMetadata(t),
		Suppressed: rapid.IntRange(0, 9).Draw(t, "suppressed") == 0,
	}
	if rapid.Bool().Draw(t, "happened") {
		e.Happened = memory.At(genTime(t))
		if to := genTime(t); to.After(e.Happened.From) && rapid.Bool().Draw(t, "interval") {
			e.Happened.To = to
		}
	}
	if rapid.Bool().Draw(t, "placed") {
		e.Place = genPlace(t)
	}
	if rapid.IntRange(0, 3).Draw(t, "expiring") == 0 {
		at := genTime(t)
		e.Expires = &at
	}
	return e
}

func genRange(t *rapid.T) *memory.Range {
	r := &memory.Range{}
	if rapid.Bool().Draw(t, "from?") {
		r.From = genTime(t)
	}
	if rapid.Bool().Draw(t, "to?") {
		r.To = genTime(t)
	}
	return r
}

func genCondition(t *rapid.T) memory.Condition {
	var c memory.Condition
	bound := func() any {
		if s := genScalar(t); s != true && s != false {
			return s
		}
		return 0.5
	}
	switch rapid.IntRange(0, 4).Draw(t, "condition") {
	case 0:
		c.Equals = genScalar(t)
	case 1:
		c.In = []any{}
		for range rapid.IntRange(0, 5).Draw(t, "in") {
			c.In = append(c.In, genScalar(t))
		}
	case 2:
		exists := rapid.Bool().Draw(t, "exists")
		c.Exists = &exists
	default:
		for _, b := range []*any{&c.GTE, &c.GT, &c.LTE, &c.LT} {
			if rapid.IntRange(0, 2).Draw(t, "bound?") == 0 {
				*b = bound()
			}
		}
	}
	return c
}

func genFilter(t *rapid.T) *memory.Filter {
	f := &memory.Filter{}
	some := func(name string) bool { return rapid.IntRange(0, 4).Draw(t, name) == 0 }
	if some("kinds?") {
		f.Kinds = []memory.Kind{genKind(t)}
	}
	if some("tags?") {
		f.Tags = genWords(t, 2)
	}
	if some("any?") {
		f.AnyTags = genWords(t, 3)
	}
	if some("not?") {
		f.NotTags = genWords(t, 2)
	}
	if some("people?") {
		f.People = genWords(t, 2)
	}
	if some("stream?") {
		f.Stream = "s"
	}
	if some("happened?") {
		f.Happened = genRange(t)
	}
	if some("stored?") {
		f.Stored = genRange(t)
	}
	if some("place?") {
		p := genPlace(t)
		f.Place = &memory.PlaceFilter{Name: p.Name}
		if p.Lat != nil {
			f.Place.HasCoordinate, f.Place.Lat, f.Place.Lon = true, *p.Lat, *p.Lon
			f.Place.RadiusMetres = rapid.Float64Range(1, memory.MaxRadius).Draw(t, "radius")
		}
	}
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "conditions") {
		if f.Metadata == nil {
			f.Metadata = map[string]memory.Condition{}
		}
		f.Metadata[rapid.SampledFrom([]string{"k", "l", "absent"}).Draw(t, "key")] = genCondition(t)
	}
	return f
}

// world is an index and the model of it, written to together.
type world struct {
	x    *Index
	m    model
	lsn  memory.LSN
	slot uint32
	ord  memory.Ordinal
}

func (w *world) put(e Entry) {
	w.lsn++
	e.Born, e.Slot = w.lsn, w.slot
	w.slot++
	w.x.Put(e)
	w.m.put(e)
}

// step does one random write; Put is the most frequent.
func (w *world) step(t *rapid.T) {
	ord := memory.Ordinal(rapid.Uint32Range(1, uint32(w.ord)+1).Draw(t, "ordinal"))
	switch rapid.IntRange(0, 11).Draw(t, "write") {
	case 0:
		w.lsn++
		w.x.End(ord, w.lsn)
		w.m.end(ord, w.lsn)
	case 1:
		w.lsn++
		on := rapid.Bool().Draw(t, "on")
		w.x.Suppress(ord, on, w.lsn)
		w.m.suppress(ord, on)
	case 2:
		before := memory.LSN(rapid.Uint64Range(uint64(w.m.floor), uint64(w.lsn)).Draw(t, "before"))
		if got, want := w.x.Purge(before), w.m.purge(before); !slices.Equal(got, want) {
			t.Fatalf("Purge(%d) = %v, want %v", before, got, want)
		}
	case 3:
		if got, want := w.x.Erase(ord), w.m.erase(ord); !slices.Equal(got, want) {
			t.Fatalf("Erase(%d) = %v, want %v", ord, got, want)
		}
	case 4: // slots need not be dense: a jump over a block
		w.slot += rapid.Uint32Range(0, 3000).Draw(t, "gap")
	default:
		e := genEntry(t)
		e.Ordinal, e.Version = ord, 1
		if ord > w.ord {
			w.ord = ord
		}
		if slot, ok := w.x.Live(ord); ok {
			row, _ := w.x.At(slot)
			e.Version = row.Version + 1
		}
		w.put(e)
	}
}

func (w *world) check(t *rapid.T) {
	view := memory.LSN(rapid.Uint64Range(uint64(w.m.floor), uint64(w.lsn)+1).Draw(t, "view"))
	now, f := genTime(t), genFilter(t)
	want := w.m.selected(f, view, now)
	set, n := w.x.Select(f, view, now)
	if got := slotsOf(set); !slices.Equal(got, want) || n != len(want) {
		t.Fatalf("Select(%+v, %d, %v) = %v (%d), want %v", f, view, now, got, n, want)
	}
	visible := w.m.selected(&memory.Filter{}, view, now)
	vis, n := w.x.Visible(view, now)
	if got := slotsOf(vis); !slices.Equal(got, visible) || n != len(visible) {
		t.Fatalf("Visible(%d, %v) = %v (%d), want %v", view, now, got, n, visible)
	}
	order, ascending := Order(rapid.IntRange(1, 3).Draw(t, "order")), rapid.Bool().Draw(t, "ascending")
	size := rapid.IntRange(1, 5).Draw(t, "size")
	if got, want := walkAll(t, w.x, f, view, now, order, ascending, size), w.m.page(want, order, ascending); !slices.Equal(got, want) {
		t.Fatalf("pages of %d of %v in order %d, ascending %v: %v, want %v", size, slotsOf(set), order, ascending, got, want)
	}
}

// walkAll reads all pages; positions go through bytes, as in a page token.
func walkAll(t rapid.TB, x *Index, f *memory.Filter, view memory.LSN, now time.Time, order Order, ascending bool, size int) []uint32 {
	slots, after := []uint32{}, Position{}
	for {
		set, _ := x.Select(f, view, now)
		page := x.Page(set, order, ascending, after, size)
		for _, p := range page {
			slots = append(slots, p.Slot)
		}
		if len(page) < size {
			return slots
		}
		token, _ := page[size-1].AppendBinary(nil)
		var err error
		if after, err = ParsePosition(token); err != nil || after != page[size-1] {
			t.Fatalf("ParsePosition(%x) = %v, %v", token, after, err)
		}
	}
}

func (w *world) checkRows(t *rapid.T) {
	live := 0
	for _, r := range w.m.rows {
		row, ok := w.x.At(r.Slot)
		want := Row{Ordinal: r.Ordinal, Version: r.Version, Kind: r.Kind, Born: r.Born, Died: r.died, Stored: r.Stored, Time: r.when(), Suppressed: r.Suppressed}
		if !ok || row != want {
			t.Fatalf("At(%d) = %+v, %v, want %+v", r.Slot, row, ok, want)
		}
		if r.died == 0 {
			live++
			if slot, ok := w.x.Live(r.Ordinal); !ok || slot != r.Slot {
				t.Fatalf("Live(%d) = %d, %v, want %d", r.Ordinal, slot, ok, r.Slot)
			}
		}
	}
	if s := w.x.Stats(); s.Slots != len(w.m.rows) || s.Live != live {
		t.Fatalf("Stats() = %+v, want %d slots, %d live", s, len(w.m.rows), live)
	}
}

func (w *world) reload(t *rapid.T) {
	saved := save(t, w.x)
	r := bytes.NewReader(append(saved, "what follows"...))
	x, err := Load(r)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if r.Len() != len("what follows") {
		t.Fatalf("Load left %d bytes, want %d", r.Len(), len("what follows"))
	}
	if again := save(t, x); !bytes.Equal(again, saved) {
		t.Fatalf("a loaded index is saved differently: %d and %d bytes", len(again), len(saved))
	}
	if x.Newest() != w.x.Newest() || x.Floor() != w.x.Floor() || x.Next() != w.x.Next() {
		t.Fatalf("loaded: %d %d %d, want %d %d %d", x.Newest(), x.Floor(), x.Next(), w.x.Newest(), w.x.Floor(), w.x.Next())
	}
	w.x = x
}

func save(t rapid.TB, x *Index) []byte {
	var b bytes.Buffer
	if err := x.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIndexIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{x: New()}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.step(t)
			switch rapid.IntRange(0, 9).Draw(t, "look") {
			case 0, 1:
				w.check(t)
			case 2:
				w.checkRows(t)
			case 3:
				w.reload(t)
			}
		}
		w.check(t)
		w.checkRows(t)
		checkTerms(t, w)
	})
}

// checkTerms looks whether the dictionary has the words of the entries and no
// other, and the sorted strings likewise.
func checkTerms(t *rapid.T, w *world) {
	words := map[string]bool{}
	for _, r := range w.m.rows {
		add := func(f field, key string, text string) { words[fmt.Sprint(f, key, "/", text)] = true }
		for _, s := range r.Tags {
			add(fieldTag, "", s)
		}
		for _, s := range r.People {
			add(fieldPerson, "", s)
		}
		if r.Stream != "" {
			add(fieldStream, "", r.Stream)
		}
		if r.Place != nil && r.Place.Name != "" {
			add(fieldPlace, "", folded(r.Place.Name))
		}
		for k, v := range r.Metadata {
			add(fieldKey, "", k)
			list, isList := v.([]any)
			if isList {
				add(fieldList, k, "")
			} else {
				list = []any{v}
			}
			for _, v := range list {
				switch v := v.(type) {
				case string:
					add(fieldString, k, v)
				case bool:
					add(boolField(v), k, "")
				}
			}
		}
	}
	d, seen := &w.x.dict, 0
	for id := range uint32(d.count) {
		tm := d.at(id)
		if tm.n == 0 {
			if tm.text != "" {
				t.Fatalf("a free term still says %q", tm.text)
			}
			continue
		}
		key := ""
		if tm.field > fieldKey {
			key = d.at(tm.key).text
		}
		if !words[fmt.Sprint(tm.field, key, "/", tm.text)] {
			t.Fatalf("term %d %q/%q belongs to no entry", tm.field, key, tm.text)
		}
		seen++
	}
	if seen != len(words) || seen != d.terms() {
		t.Fatalf("%d terms (%d said), want %d", seen, d.terms(), len(words))
	}
	for _, k := range d.keys {
		if k.ordered.len() != len(k.strings) {
			t.Fatalf("%d strings in order, %d known", k.ordered.len(), len(k.strings))
		}
	}
}
