package engram_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

const nearDimension = 24

// nearWorld is a space with enough vectors for links, in clusters, and what is right.
type nearWorld struct {
	rng     *rand.Rand
	centres [][]float32
	vectors map[memory.ID][]float32
	tags    map[memory.ID][]string
	made    int
}

func newNearWorld() *nearWorld {
	w := &nearWorld{rng: rand.New(rand.NewPCG(3, 4)), vectors: map[memory.ID][]float32{}, tags: map[memory.ID][]string{}}
	for range 40 {
		w.centres = append(w.centres, w.around(make([]float32, nearDimension), 1))
	}
	return w
}

func (w *nearWorld) around(c []float32, spread float64) []float32 {
	v := slices.Clone(c)
	for i := range v {
		v[i] += float32(spread * w.rng.NormFloat64())
	}
	return v
}

// fill stores n more memories by batches; every third has the tag "third", those of
// five clusters "few".
func (w *nearWorld) fill(t *testing.T, s *engram.Space, n int) {
	t.Helper()
	for n > 0 {
		var batch []memory.Episode
		for range min(n, 500) {
			k := w.rng.IntN(len(w.centres))
			id := memory.ID(fmt.Sprintf("v%d", w.made))
			w.made++
			e := memory.Episode{ID: id, Vector: w.around(w.centres[k], 0.4)}
			if w.made%3 == 0 {
				e.Tags = append(e.Tags, "third")
			}
			if k < 5 {
				e.Tags = append(e.Tags, "few")
			}
			w.vectors[id], w.tags[id] = e.Vector, e.Tags
			batch = append(batch, e)
		}
		_, err := s.RememberBatch(context.Background(), batch, false, engram.WriteOptions{})
		check(t, err)
		n -= len(batch)
	}
}

func cosineOf(a, b []float32) float64 {
	var dot, x, y float64
	for i := range a {
		dot, x, y = dot+float64(a[i])*float64(b[i]), x+float64(a[i])*float64(a[i]), y+float64(b[i])*float64(b[i])
	}
	return dot / math.Sqrt(x*y)
}

// share is how much of the ten nearest a space finds, over some queries.
func (w *nearWorld) share(t *testing.T, s *engram.Space, tag string, exact *bool) float64 {
	t.Helper()
	found, all := 0, 0
	for range 30 {
		q := w.around(w.centres[w.rng.IntN(len(w.centres))], 0.4)
		var scores []float64
		for id, v := range w.vectors {
			if tag == "" || slices.Contains(w.tags[id], tag) {
				scores = append(scores, cosineOf(q, v))
			}
		}
		slices.Sort(scores)
		slices.Reverse(scores)
		cue := memory.Cue{Vector: q, Limit: 10, Mode: memory.ModeSimilar, Exact: exact}
		if tag != "" {
			cue.Filter.Tags = []string{tag}
		}
		r, err := s.Recall(context.Background(), cue)
		check(t, err)
		if len(r.Results) != min(10, len(scores)) {
			t.Fatalf("%d results", len(r.Results))
		}
		if exact != nil && r.Exact != *exact {
			t.Errorf("exact %v was asked for, the answer says %v", *exact, r.Exact)
		}
		if exact != nil && *exact && r.Compared != len(scores) {
			t.Errorf("%d of %d were compared", r.Compared, len(scores))
		}
		for _, x := range r.Results {
			if tag != "" && !slices.Contains(x.Memory.Tags, tag) {
				t.Errorf("%s has not the tag %s", x.Memory.ID, tag)
			}
			if cosineOf(q, w.vectors[x.Memory.ID]) >= scores[len(r.Results)-1]-1e-6 {
				found++
			}
			all++
		}
	}
	return float64(found) / float64(all)
}

// allLinked says whether all vectors have their links.
func allLinked(t *testing.T, s *engram.Space) func() bool {
	return func() bool {
		info, err := s.Info(context.Background())
		check(t, err)
		for _, x := range info.Indexes {
			if x.Name == "vector" {
				return x.LSN > 0 && x.Tail == 0
			}
		}
		return false
	}
}

func nearFiles(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List("data/index")
	check(t, err)
	for _, n := range all {
		if strings.HasSuffix(n, ".near") {
			names = append(names, "data/index/"+n)
		}
	}
	return names
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// The index finds what exact search finds, with filters, and says how it looked; a
// second space does not get in its way.
func TestNearest(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s, small, w, few := spaceOf(t, db, "s", nearDimension), spaceOf(t, db, "small", nearDimension), newNearWorld(), newNearWorld()
	recalled(t, s, memory.Cue{Vector: w.centres[0]}) // it is open from the start
	w.fill(t, s, 3000)
	few.fill(t, small, 100)
	w.fill(t, s, 3000)
	eventually(t, "all links are made", allLinked(t, s))
	if st := db.Stats(); st.Vectors.Linked < 3000 || st.Vectors.Bytes == 0 || st.Vectors.Tail != 0 {
		t.Errorf("figures: %+v", st.Vectors)
	}
	for _, tag := range []string{"", "third", "few"} {
		if got := w.share(t, s, tag, yes()); got != 1 {
			t.Errorf("exact search under %q found %.3f", tag, got)
		}
		for _, exact := range []*bool{nil, no()} {
			if got := w.share(t, s, tag, exact); got < 0.98 {
				t.Errorf("the index under %q found %.3f", tag, got)
			}
		}
	}
	r, err := s.Recall(context.Background(), memory.Cue{Vector: w.centres[3], Exact: no()})
	check(t, err)
	if r.Exact || r.Compared == 0 || r.Compared >= 6000 {
		t.Errorf("%d of 6000 were compared, exact %v", r.Compared, r.Exact)
	}
	if got := few.share(t, small, "", nil); got != 1 {
		t.Errorf("the small space found %.3f", got)
	}

	// An update moves a memory to where its new vector lies, a delete takes it away.
	at := w.around(make([]float32, nearDimension), 1)
	_, err = s.Update(context.Background(), "v77", func(e *memory.Episode) error { e.Vector = at; return nil }, engram.WriteOptions{})
	check(t, err)
	if got := recalled(t, s, memory.Cue{Vector: at, Limit: 1}); got[0] != "v77" {
		t.Errorf("the new vector of v77 finds %v", got)
	}
	if got := recalled(t, s, memory.Cue{Vector: w.vectors["v77"], Limit: 10}); slices.Contains(got[:1], "v77") {
		t.Errorf("the old vector of v77 still finds it")
	}
	_, err = s.Delete(context.Background(), "v77", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	if got := recalled(t, s, memory.Cue{Vector: at, Limit: 10}); slices.Contains(got, "v77") {
		t.Error("v77 is found after it was deleted")
	}
}

// A restart while links are made loses nothing; what the file of the index lacks or
// has too much is mended; a damaged file is not used.
func TestNearestRestart(t *testing.T) {
	log := &words{}
	fs, w := vfs.NewMem(), newNearWorld()
	o := engram.Options{Logger: slog.New(log)}
	db := openWith(t, fs, o)
	s := spaceOf(t, db, "s", nearDimension)
	recalled(t, s, memory.Cue{Vector: w.centres[0]})
	again := func(when string) {
		t.Helper()
		check(t, db.Close())
		db = openWith(t, fs, o)
		var err error
		s, err = db.Space("s")
		check(t, err)
		if got := w.share(t, s, "", nil); got < 0.98 {
			t.Errorf("%s: found %.3f", when, got)
		}
		for _, id := range []memory.ID{"v5", "v2999", "v4500"} {
			if got := recalled(t, s, memory.Cue{Vector: w.vectors[id], Limit: 1}); len(got) != 1 || got[0] != id {
				t.Errorf("%s: %s is not found by its vector, but %v", when, id, got)
			}
		}
	}
	w.fill(t, s, 6000) // closed while links are made
	again("in the middle")
	if len(nearFiles(t, fs)) != 1 {
		t.Fatalf("files of the index: %v", nearFiles(t, fs))
	}
	eventually(t, "all links are made", allLinked(t, s))
	middle := nearFiles(t, fs)
	again("with all links") // nothing was written since
	if slices.Equal(nearFiles(t, fs), middle) && db.Stats().Vectors.Tail > 6000/4 {
		t.Errorf("the links that were made since were not saved")
	}

	// Less than a quarter comes and goes: the file stays, and is mended.
	before := nearFiles(t, fs)
	w.fill(t, s, 1000)
	for _, id := range []memory.ID{"v1", "v6500"} {
		_, err := s.Delete(context.Background(), id, memory.Delete, 0, engram.WriteOptions{})
		check(t, err)
		delete(w.vectors, id)
	}
	again("mended")
	if !slices.Equal(nearFiles(t, fs), before) {
		t.Errorf("the file was written again: %v, %v", before, nearFiles(t, fs))
	}

	// Cut short, damaged in its links, gone, of another's slots: built from the store.
	whole := readAll(t, fs, before[0])
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": {}, "damaged": damagedAt(whole, 5000), "gone": nil} {
		check(t, db.Close())
		path := nearFiles(t, fs)[0]
		check(t, fs.Remove(path))
		if b != nil {
			f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
			check(t, err)
			_, err = f.Write(b)
			check(t, err)
			check(t, f.Close())
		}
		db = openWith(t, fs, o)
		var err error
		s, err = db.Space("s")
		check(t, err)
		if got := w.share(t, s, "", nil); got < 0.98 {
			t.Errorf("%s: found %.3f", name, got)
		}
		w.fill(t, s, 2100) // worth a snapshot
	}

	// Damage in the vectors is found out beside the calls.
	check(t, db.Close())
	path := nearFiles(t, fs)[0]
	b := readAll(t, fs, path)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = f.Write(damagedAt(b, len(b)*2/3))
	check(t, err)
	check(t, f.Close())
	db = openWith(t, fs, o)
	s, err = db.Space("s")
	check(t, err)
	recalled(t, s, memory.Cue{Vector: w.centres[0]})
	eventually(t, "the damaged file is removed", func() bool { return len(nearFiles(t, fs)) == 0 })
	if got := w.share(t, s, "", nil); got < 0.98 {
		t.Errorf("after damage: found %.3f", got)
	}
}

func damagedAt(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x41
	return b
}

// What is erased is in no file of the index, and is found no more.
func TestNearestErase(t *testing.T) {
	fs, w := vfs.NewMem(), newNearWorld()
	db := openWith(t, fs, engram.Options{})
	_, _, err := db.CreateSpace(context.Background(), "s", memory.Settings{Vector: memory.VectorSettings{Dimension: nearDimension, Metric: memory.MetricDot}})
	check(t, err)
	s, err := db.Space("s")
	check(t, err)
	recalled(t, s, memory.Cue{Vector: w.centres[0]})
	w.fill(t, s, 5000)
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	s, err = db.Space("s")
	check(t, err)
	secret := w.vectors["v123"]
	raw, err := binary.Append(nil, binary.LittleEndian, secret)
	check(t, err)
	if len(filesWith(t, fs, "data/index", string(raw))) == 0 {
		t.Fatal("the vector is not in the file of the index to begin with")
	}
	recalled(t, s, memory.Cue{Vector: secret}) // it is mapped
	_, err = s.Delete(context.Background(), "v123", memory.Erase, 0, engram.WriteOptions{})
	check(t, err)
	eventually(t, "the vector is in no file", func() bool { return len(filesWith(t, fs, "data", string(raw))) == 0 })
	if got := recalled(t, s, memory.Cue{Vector: secret, Limit: 100}); slices.Contains(got, "v123") {
		t.Error("it is found after it was erased")
	}
	delete(w.vectors, "v123")
	w.fill(t, s, 2500)
	check(t, db.Close())
	if found := filesWith(t, fs, "data", string(raw)); len(found) > 0 {
		t.Errorf("it came back into %v", found)
	}
	db = openWith(t, fs, engram.Options{})
	s, err = db.Space("s")
	check(t, err)
	if got := recalled(t, s, memory.Cue{Vector: secret, Limit: 100}); slices.Contains(got, "v123") {
		t.Error("it is found after a restart")
	}
}

// Writers past the bound make links first.
func TestNearestWritersHelp(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{VectorTail: 100})
	s, w := spaceOf(t, db, "s", nearDimension), newNearWorld()
	recalled(t, s, memory.Cue{Vector: w.centres[0]})
	for range 12 {
		w.fill(t, s, 500)
		recalled(t, s, memory.Cue{Vector: w.centres[0]}) // all is in the index
		if waits := db.Stats().Vectors.Tail; waits > 100+2500 {
			t.Errorf("%d vectors wait for links", waits)
		}
	}
	if db.Stats().Vectors.Slowed == 0 {
		t.Error("no writer was slowed")
	}
}

// What would pass the memory of vectors is refused; spaces that nobody uses make room
// first.
func TestVectorMemory(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{VectorMemory: 1_200_000})
	one, two, w := spaceOf(t, db, "one", nearDimension), spaceOf(t, db, "two", nearDimension), newNearWorld()
	for _, s := range []*engram.Space{one, two} {
		recalled(t, s, memory.Cue{Vector: w.centres[0]})
	}
	w.fill(t, one, 1000)
	recalled(t, one, memory.Cue{Vector: w.centres[0]})
	filled := db.Stats().Vectors
	if filled.Bytes == 0 || filled.Bytes > filled.Bound {
		t.Fatalf("figures: %+v", filled)
	}
	var err error
	for i := 0; err == nil && i < 200; i++ {
		var batch []memory.Episode
		for range 50 {
			batch = append(batch, memory.Episode{Vector: w.around(w.centres[0], 0.4)})
		}
		_, err = two.RememberBatch(context.Background(), batch, false, engram.WriteOptions{})
		recalled(t, two, memory.Cue{Vector: w.centres[0]})
		if st := db.Stats().Vectors; st.Bytes > st.Bound {
			t.Fatalf("past the bound: %+v", st)
		}
	}
	mustCode(t, err, "vector_memory_full")
	if st := db.Stats(); st.Vectors.Bytes > st.Vectors.Bound || st.Vectors.Refused == 0 {
		t.Errorf("figures: %+v", st.Vectors)
	}
	remember(t, two, memory.Episode{Text: "words need no memory of vectors"})
	if got := recalled(t, two, memory.Cue{Text: "memory of vectors"}); len(got) == 0 {
		t.Error("nothing is recalled by words")
	}
	eventually(t, "the other space is closed for the first one", func() bool {
		r, err := one.Recall(context.Background(), memory.Cue{Vector: w.vectors["v7"], Limit: 1})
		if codeOf(err) == "vector_memory_full" {
			return false // links of the other are being made
		}
		check(t, err)
		return r.Results[0].Memory.ID == "v7"
	})
}

func TestCheckRecall(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s, w := spaceOf(t, db, "s", nearDimension), newNearWorld()
	ctx := context.Background()
	if r, err := s.CheckRecall(ctx, 0); err != nil || r.Queries != 0 || r.Recall != 1 || r.Low != 0 {
		t.Errorf("of an empty space: %+v, %v", r, err)
	}
	w.fill(t, s, 5000)
	r, err := s.CheckRecall(ctx, 20)
	check(t, err)
	if r.Queries != 20 || r.Live != 0 || r.Recall < 0.98 || r.Low > r.Recall || r.High < r.Recall || r.Low >= 1 {
		t.Errorf("of stored vectors: %+v", r)
	}
	for range 7 {
		recalled(t, s, memory.Cue{Vector: w.around(w.centres[0], 0.4), Filter: memory.Filter{Tags: []string{"few"}}})
	}
	if r, err = s.CheckRecall(ctx, 20); err != nil || r.Live != 7 || r.Queries != 20 {
		t.Errorf("of cues of late: %+v, %v", r, err)
	}
	if st := db.Stats().Vectors; st.Recall != r.Recall || st.RecallChecked == 0 {
		t.Errorf("figures: %+v", st)
	}
	for _, sample := range []int{-1, engram.RecallCheckMost + 1} {
		_, err := s.CheckRecall(ctx, sample)
		mustCode(t, err, "sample_out_of_range")
	}
	_, err = spaceOf(t, db, "none", 0).CheckRecall(ctx, 0)
	mustCode(t, err, "vectors_off")
}
