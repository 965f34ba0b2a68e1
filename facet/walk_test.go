package facet

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
	"pgregory.net/rapid"
)

// A walk at a view, with writes of all kinds between its pages, gives what was
// there when it began, each once and in order; what is suppressed or erased
// meanwhile may be left out.
func TestWalkWhileWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{x: New()}
		for range rapid.IntRange(1, 40).Draw(t, "entries") {
			w.step(t)
		}
		order, ascending := Order(rapid.IntRange(1, 3).Draw(t, "order")), rapid.Bool().Draw(t, "ascending")
		f, view, now := genFilter(t), w.lsn, genTime(t)
		there := w.m.page(w.m.selected(f, view, now), order, ascending)
		hiddenOrGone := map[uint32]bool{}

		var walked []uint32
		for after := (Position{}); ; {
			set, _ := w.x.Select(f, view, now)
			page := w.x.Page(set, order, ascending, after, 3)
			for _, p := range page {
				walked = append(walked, p.Slot)
			}
			if len(page) < 3 {
				break
			}
			after = page[2]
			w.write(t, view, there, hiddenOrGone)
		}
		want := slices.DeleteFunc(slices.Clone(there), func(s uint32) bool { return hiddenOrGone[s] && !slices.Contains(walked, s) })
		if !slices.Equal(walked, want) {
			t.Fatalf("walked %v, there was %v, hidden or gone %v", walked, there, hiddenOrGone)
		}
	})
}

// write does some writes that leave the view answerable, and notes which of the
// slots that were there are suppressed or erased now.
func (w *world) write(t *rapid.T, view memory.LSN, there []uint32, gone map[uint32]bool) {
	note := func(ord memory.Ordinal) {
		for _, r := range w.m.rows {
			if r.Ordinal == ord && slices.Contains(there, r.Slot) {
				gone[r.Slot] = true
			}
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "writes") {
		ord := memory.Ordinal(rapid.Uint32Range(1, uint32(w.ord)+1).Draw(t, "ordinal"))
		w.lsn++
		switch rapid.IntRange(0, 5).Draw(t, "write") {
		case 0:
			w.x.End(ord, w.lsn)
			w.m.end(ord, w.lsn)
		case 1:
			note(ord)
			w.x.Suppress(ord, true, w.lsn)
			w.m.suppress(ord, true)
		case 2:
			note(ord)
			w.x.Erase(ord)
			w.m.erase(ord)
		case 3:
			w.x.Purge(view)
			w.m.purge(view)
		default:
			e := genEntry(t)
			e.Ordinal, e.Version = ord, 1
			if e.Suppressed {
				note(ord)
			} else if ord <= w.ord && rapid.Bool().Draw(t, "keep") {
				ord = w.ord + 1
				e.Ordinal = ord
			}
			// A new version says whether the node is suppressed; keep what it was,
			// so that the walk meets no node that comes back.
			for _, r := range w.m.rows {
				if r.Ordinal == ord {
					e.Suppressed = r.Suppressed
				}
			}
			w.ord = max(w.ord, ord)
			w.put(e)
		}
	}
}

// The same in the large: bitmaps, full blocks and long walks, which the small
// worlds do not reach.
func TestLargeIndexIsTheModel(t *testing.T) {
	w := &world{x: New()}
	entry := rapid.Custom(genEntry)
	examples := make([]Entry, 500)
	for i := range examples {
		examples[i] = entry.Example(i)
	}
	r := rand.New(rand.NewPCG(21, 22))
	for i := range 16_000 {
		e := examples[r.IntN(len(examples))]
		if i > 14_000 && r.IntN(2) == 0 {
			e.Ordinal, e.Version = memory.Ordinal(1+r.IntN(14_000)), 2
		} else {
			w.ord++
			e.Ordinal, e.Version = w.ord, 1
		}
		w.put(e)
	}
	half := w.lsn - 1000
	w.x.Purge(w.lsn - 1500)
	w.m.purge(w.lsn - 1500)
	filter := rapid.Custom(genFilter)
	for i := range brief(300, 60) {
		f, now, view := filter.Example(i), epoch.Add(time.Duration(i%3-1)), w.lsn
		if i%3 == 0 {
			view = half
		}
		want := w.m.selected(f, view, now)
		set, n := w.x.Select(f, view, now)
		if got := slotsOf(set); !slices.Equal(got, want) || n != len(want) {
			t.Fatalf("Select(%+v) at %d: %d slots (%d), want %d", f, view, len(got), n, len(want))
		}
		if i%10 != 0 {
			continue
		}
		order, ascending := Order(1+i/10%3), i%20 == 0
		if got, want := walkAll(t, w.x, f, view, now, order, ascending, 70), w.m.page(want, order, ascending); !slices.Equal(got, want) {
			t.Fatalf("a walk in order %d gives %d slots, want %d", order, len(got), len(want))
		}
	}
}

// Walking from ordinal to ordinal and scanning are two ways to one answer.
func TestWalksAgree(t *testing.T) {
	x := varied(3000)
	for _, view := range []memory.LSN{x.Newest(), x.Newest() - 700} {
		all, n := x.Visible(view, epoch)
		for _, ascending := range []bool{true, false} {
			for _, after := range []Position{{}, {Ordinal: 1}, {Ordinal: 1200}, {Ordinal: 1 << 31}, {Ordinal: ^memory.Ordinal(0)}} {
				for _, size := range []int{1, 50, n, n + 1} {
					w := walk{index: x, words: all.Words(), order: ByStored, ascending: ascending, after: after, n: size}
					if one, other := w.byOrdinal(), w.byScan(); !slices.Equal(one, other) {
						t.Fatalf("%d after %d, ascending %v: %d and %d positions", size, after.Ordinal, ascending, len(one), len(other))
					}
				}
			}
		}
	}
}

func TestPositionsOfOthers(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, make([]byte, positionSize+1), append([]byte{2}, make([]byte, positionSize-1)...), slices.Repeat([]byte{1}, positionSize)} {
		if p, err := ParsePosition(b); err == nil && len(b) != positionSize {
			t.Errorf("ParsePosition(%x) = %v", b, p)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, p := range []Position{{}, {Slot: 3, Ordinal: 4, at: instantOf(epoch)}, {Slot: 1, Ordinal: 2, unknown: true}} {
		b, _ := p.AppendBinary(nil)
		f.Add(b)
	}
	x := varied(50)
	all, _ := x.Visible(x.Newest(), epoch)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePosition(b)
		if err != nil {
			return
		}
		if again, _ := p.AppendBinary(nil); !slices.Equal(again, b) {
			t.Fatalf("%x is written as %x", b, again)
		}
		for _, order := range []Order{ByStored, ByHappened, ByTime} {
			for _, ascending := range []bool{false, true} {
				x.Page(all, order, ascending, p, 7)
			}
		}
	})
}

func TestEmptyIndexIsSmall(t *testing.T) {
	if b := New().Stats().Bytes; b > 1024 {
		t.Errorf("an empty index takes %d bytes", b)
	}
	kept := make([]*Index, 1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = New()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(kept)); each > 2048 {
		t.Errorf("New takes %d bytes", each)
	}
}

// Slots are given for ever; memory follows what is in use.
func TestChurnDoesNotGrow(t *testing.T) {
	x := New()
	churn := func(rounds int) int {
		for range rounds {
			for ord := range memory.Ordinal(500) {
				x.Put(Entry{Slot: x.Next(), Ordinal: ord + 1, Version: 2, Kind: memory.KindEpisode, Born: x.Newest() + 1, Stored: epoch,
					Tags: []string{"tag", time.Duration(x.Next()).String()}, Metadata: memory.Metadata{"n": float64(x.Next()), "s": time.Duration(x.Next()).String()}})
			}
			x.Purge(x.Newest())
		}
		return x.Stats().Bytes
	}
	first := churn(10)
	if later := churn(100); later > 2*first {
		t.Errorf("%d bytes after 110 rounds, %d after 10", later, first)
	}
	if s := x.Stats(); s.Slots != 500 || s.Live != 500 {
		t.Errorf("Stats() = %+v", s)
	}
}

// Readers side by side, under the lock that the owner holds. Run it with -race.
func TestReaders(t *testing.T) {
	x := varied(3000)
	var mu sync.RWMutex
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 30 {
				mu.RLock()
				f := filters[(i*7+j)%len(filters)].f
				for _, view := range []memory.LSN{x.Newest(), x.Newest() - 5} {
					set, n := x.Select(&f, view, epoch.Add(time.Hour))
					if n != int(set.Count()) {
						t.Errorf("%d counted, %d are set", n, set.Count())
					}
					x.Page(set, ByTime, false, Position{}, 10)
				}
				x.Stats()
				mu.RUnlock()
			}
		})
	}
	for i := range 50 {
		mu.Lock()
		x.Put(Entry{Slot: x.Next(), Ordinal: memory.Ordinal(5000 + i), Kind: memory.KindEpisode, Born: x.Newest() + 1, Stored: epoch, Tags: []string{"tag-0"}})
		x.End(memory.Ordinal(i+1), x.Newest()+1)
		mu.Unlock()
	}
	wg.Wait()
}

func TestBugsOfTheCallerPanic(t *testing.T) {
	x := varied(3)
	for name, e := range map[string]Entry{
		"slot again": {Slot: x.Next() - 1, Ordinal: 1},
		"no ordinal": {Slot: x.Next()},
		"no slot":    {Slot: noSlot, Ordinal: 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			x.Put(e)
		}()
	}
}

// The newest view is the set that is kept: no copy is made for a recall.
func TestVisibleIsShared(t *testing.T) {
	x := varied(100)
	var set *bitset.BitSet
	if n := testing.AllocsPerRun(10, func() { set, _ = x.Visible(x.Newest(), time.Time{}) }); n != 0 || set != x.current {
		t.Errorf("Visible of the newest view allocates %v times", n)
	}
}
