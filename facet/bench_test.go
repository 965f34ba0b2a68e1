package facet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
)

// synthetic is an entry as they are in use: 3 tags of 1000 (a few of them
// frequent), a person of 200, two metadata keys, a random time in two years.
func synthetic(r *rand.Rand, slot int) Entry {
	tag := func() string { return fmt.Sprintf("tag-%d", int(float64(1000)*r.Float64()*r.Float64()*r.Float64())) }
	lat, lon := 180*r.Float64()-90, 360*r.Float64()-180
	return Entry{
		Slot: uint32(slot), Ordinal: memory.Ordinal(slot + 1), Version: 1, Kind: memory.KindEpisode, Born: memory.LSN(slot + 1),
		Stored:   epoch.Add(time.Duration(slot) * time.Second),
		Happened: memory.At(epoch.Add(-time.Duration(r.Int64N(int64(2 * 365 * 24 * time.Hour))))),
		Tags:     []string{tag(), tag(), tag()}, People: []string{fmt.Sprintf("person-%d", r.IntN(200))},
		Stream: fmt.Sprintf("stream-%d", slot/50), Place: &memory.Place{Lat: &lat, Lon: &lon},
		Metadata: memory.Metadata{"rating": r.Float64(), "source": fmt.Sprintf("source-%d", r.IntN(20))},
	}
}

func filled(n int) *Index {
	r := rand.New(rand.NewPCG(1, 2))
	x := New()
	for i := range n {
		e := synthetic(r, i)
		e.Metadata["day"] = e.Happened.From.Format(time.RFC3339)
		x.Put(e)
	}
	return x
}

func BenchmarkPut(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	entries := make([]Entry, 100_000)
	for i := range entries {
		entries[i] = synthetic(r, i)
	}
	x, slot := New(), 0
	b.ReportAllocs()
	for b.Loop() {
		e := entries[slot%len(entries)]
		e.Slot, e.Ordinal, e.Born = uint32(slot), memory.Ordinal(slot+1), memory.LSN(slot+1)
		x.Put(e)
		slot++
		if slot == 1_000_000 {
			x, slot = New(), 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

func happenedIn(share float64) memory.Filter {
	width := time.Duration(share * float64(2*365*24*time.Hour))
	from := epoch.Add(-400 * 24 * time.Hour)
	if share > 0.4 {
		from = epoch.Add(-2 * 365 * 24 * time.Hour)
	}
	return memory.Filter{Happened: &memory.Range{From: from, To: from.Add(width)}}
}

func key(name string, c memory.Condition) memory.Filter {
	return memory.Filter{Metadata: map[string]memory.Condition{name: c}}
}

var filters = []struct {
	name string
	f    memory.Filter
}{
	{"none", memory.Filter{}},
	{"tag/rare", memory.Filter{Tags: []string{"tag-900"}}},
	{"tag/frequent", memory.Filter{Tags: []string{"tag-0"}}},
	{"tags/3", memory.Filter{Tags: []string{"tag-0", "tag-1", "tag-2"}}},
	{"any_tags/50", memory.Filter{AnyTags: tagNames(50)}},
	{"any_tags/256", memory.Filter{AnyTags: tagNames(256)}},
	{"not_tags/50", memory.Filter{NotTags: tagNames(50)}},
	{"person", memory.Filter{People: []string{"person-7"}}},
	{"stream", memory.Filter{Stream: "stream-700"}},
	{"kinds/all", memory.Filter{Kinds: []memory.Kind{memory.KindEpisode}}},
	{"happened/0.1%", happenedIn(0.001)},
	{"happened/10%", happenedIn(0.1)},
	{"happened/50%", happenedIn(0.5)},
	{"happened/99%", happenedIn(0.99)},
	{"stored/half", memory.Filter{Stored: &memory.Range{From: epoch.Add(50_000 * time.Second)}}},
	{"circle/10km", memory.Filter{Place: &memory.PlaceFilter{HasCoordinate: true, Lat: 48, Lon: 16, RadiusMetres: 10_000}}},
	{"circle/5000km", memory.Filter{Place: &memory.PlaceFilter{HasCoordinate: true, Lat: 48, Lon: 16, RadiusMetres: 5_000_000}}},
	{"number/equals", key("rating", memory.Condition{Equals: 0.5})},
	{"number/1%", key("rating", memory.Condition{GTE: 0.5, LT: 0.51})},
	{"number/50%", key("rating", memory.Condition{GTE: 0.5})},
	{"number/in256", key("rating", memory.Condition{In: numberList(256)})},
	{"string/equals", key("source", memory.Condition{Equals: "source-3"})},
	{"string/in", key("source", memory.Condition{In: []any{"source-3", "source-4", "source-5"}})},
	{"string/range20", key("source", memory.Condition{GTE: "source-1", LT: "source-2"})},
	{"string/unique1%", key("day", memory.Condition{GTE: "2024-01-01", LT: "2024-01-08"})},
	{"string/unique50%", key("day", memory.Condition{GTE: "2024-03-01"})},
	{"exists", key("rating", memory.Condition{Exists: new(true)})},
	{"all of them", memory.Filter{
		Tags: []string{"tag-0"}, NotTags: tagNames(50)[1:], Kinds: []memory.Kind{memory.KindEpisode}, Happened: happenedIn(0.99).Happened,
		Stored: &memory.Range{From: epoch}, Place: &memory.PlaceFilter{HasCoordinate: true, Lat: 48, Lon: 16, RadiusMetres: 15_000_000},
		Metadata: map[string]memory.Condition{"rating": {GTE: 0.1}, "source": {GTE: "source-1"}, "day": {Exists: new(true)}},
	}},
}

func numberList(n int) []any {
	var list []any
	for i := range n {
		list = append(list, float64(i)/float64(n))
	}
	return list
}

func tagNames(n int) []string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf("tag-%d", i))
	}
	return tags
}

func BenchmarkSelect(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		x := filled(size)
		newest := x.Newest()
		now := epoch.Add(1000 * time.Hour)
		for _, c := range filters {
			b.Run(fmt.Sprintf("%d/%s", size, c.name), func(b *testing.B) {
				n := 0
				for b.Loop() {
					_, n = x.Select(&c.f, newest, now)
				}
				b.ReportMetric(100*float64(n)/float64(size), "%selected")
			})
		}
		b.Run(fmt.Sprintf("%d/view before", size), func(b *testing.B) {
			for b.Loop() {
				x.Visible(newest-100, now)
			}
		})
		b.Run(fmt.Sprintf("%d/bytes", size), func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(float64(x.Stats().Bytes)/float64(size), "B/slot")
		})
	}
}

func BenchmarkPage(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		x := filled(size)
		all, _ := x.Visible(x.Newest(), epoch)
		few, _ := x.Select(&memory.Filter{Tags: []string{"tag-900"}}, x.Newest(), epoch)
		for _, order := range []Order{ByStored, ByHappened, ByTime} {
			middle := x.Page(all, order, false, Position{}, size/2)[size/2-1]
			b.Run(fmt.Sprintf("%d/order%d/first50", size, order), func(b *testing.B) {
				for b.Loop() {
					x.Page(all, order, false, Position{}, 50)
				}
			})
			b.Run(fmt.Sprintf("%d/order%d/middle1000", size, order), func(b *testing.B) {
				for b.Loop() {
					x.Page(all, order, false, middle, 1000)
				}
			})
			b.Run(fmt.Sprintf("%d/order%d/narrow50", size, order), func(b *testing.B) {
				for b.Loop() {
					x.Page(few, order, false, Position{}, 50)
				}
			})
		}
	}
}

func BenchmarkPurge(b *testing.B) {
	const n = 100_000
	saved := bytes.Buffer{}
	if err := filled(n).Save(&saved); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		b.StopTimer()
		x, err := Load(bytes.NewReader(saved.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		for ord := range memory.Ordinal(n) {
			if ord%10 != 0 {
				x.End(ord+1, n+1)
			}
		}
		b.StartTimer()
		x.Purge(n + 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n*10/9, "ns/slot")
}

func BenchmarkErase(b *testing.B) {
	x := filled(100_000)
	ord := memory.Ordinal(0)
	for b.Loop() {
		ord++
		x.Erase(ord)
	}
}

func BenchmarkSaveLoad(b *testing.B) {
	x := filled(100_000)
	var saved bytes.Buffer
	b.Run("Save", func(b *testing.B) {
		for b.Loop() {
			saved.Reset()
			if err := x.Save(&saved); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(saved.Len())/100_000, "B/slot")
	})
	b.Run("Load", func(b *testing.B) {
		for b.Loop() {
			if _, err := Load(bytes.NewReader(saved.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
