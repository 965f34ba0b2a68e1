package engram_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestRoundTrip: what is stored comes back as it was said, at once and after a
// restart: the edges of time, of numbers and of words.
func TestRoundTrip(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{})
	s := spaceOf(t, db, "s", 2)
	last := time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	one, half, lat, lon := 1.0, 0.5, -89.999, 179.5
	es := []memory.Episode{
		{ID: "plain", Text: "x"},
		{ID: "words", Title: "zürich 東京 🦦", Text: "line\nbreak\ttab \u202eright to left", Source: "a\x00b", Stream: strings.Repeat("s", memory.MaxNameBytes)},
		{ID: "first", Text: "x", Happened: memory.At(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))},
		{ID: "last", Text: "x", Happened: memory.At(last), ExpiresAt: &last},
		{ID: "nano", Text: "x", Happened: &memory.Interval{From: time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), To: time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC), Precision: "decade"}},
		{ID: "numbers", Vector: []float32{math.MaxFloat32, -math.SmallestNonzeroFloat32}, Salience: &half,
			Metadata: memory.Metadata{"max": math.MaxFloat64, "min": -math.SmallestNonzeroFloat64, "whole": float64(1 << 53), "zero": 0.0, "yes": true, "no": false, "": nil}},
		{ID: "lists", Text: "x", Tags: []string{"b", "a", "b"}, People: []string{"Ada", "ada"}, Metadata: memory.Metadata{"l": []any{"x", 1.0, true}, "empty": []any{}, "s": ""}},
		{ID: "place", Text: "x", Place: &memory.Place{Name: "there", Lat: &lat, Lon: &lon}, Fact: &memory.Fact{Subject: "a", Attribute: "b", Value: "c"}},
		{ID: "edge", Text: strings.Repeat("long ", 100_000), Salience: &one},
	}
	delete(es[5].Metadata, "")
	look := func() {
		t.Helper()
		for _, want := range es {
			got, err := s.Get(ctx, want.ID, engram.ReadOptions{Vector: true})
			check(t, err)
			if fmt.Sprintf("%#v", flat(got.Episode)) != fmt.Sprintf("%#v", flat(want)) {
				t.Errorf("got  %#v\nwant %#v", flat(got.Episode), flat(want))
			}
		}
	}
	for _, e := range es {
		remember(t, s, e)
	}
	look()
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	s = spaceOf(t, db, "s", 2)
	look()
}

// flat is an episode without pointers, so that two can be shown and compared.
func flat(e memory.Episode) []any {
	deref := func(x *float64) any {
		if x == nil {
			return nil
		}
		return *x
	}
	out := []any{e.ID, e.Title, e.Text, e.Vector, e.People, e.Tags, e.Metadata, e.Stream, e.Source, deref(e.Salience), e.Fact}
	if e.Fact != nil {
		out[len(out)-1] = *e.Fact
	}
	if e.Happened != nil {
		out = append(out, e.Happened.From.Format(time.RFC3339Nano), e.Happened.To.Format(time.RFC3339Nano), e.Happened.Precision)
	}
	if e.ExpiresAt != nil {
		out = append(out, e.ExpiresAt.Format(time.RFC3339Nano))
	}
	if e.Place != nil {
		out = append(out, e.Place.Name, deref(e.Place.Lat), deref(e.Place.Lon))
	}
	return out
}

// TestBatchSizes: the most that one batch takes, and one more.
func TestBatchSizes(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	es := make([]memory.Episode, memory.MaxBatch+1)
	for i := range es {
		es[i] = memory.Episode{ID: memory.ID(fmt.Sprintf("%0*d", memory.MaxIDLength, i)), Text: "x"}
	}
	_, err := s.RememberBatch(ctx, es, true, engram.WriteOptions{})
	mustCode(t, err, "batch_too_large")
	_, err = s.RememberBatch(ctx, []memory.Episode{{Text: strings.Repeat("x", 5<<20)}, {Text: strings.Repeat("y", 5<<20)}}, false, engram.WriteOptions{})
	mustCode(t, err, "batch_too_large")
	b, err := s.RememberBatch(ctx, es[:memory.MaxBatch], false, engram.WriteOptions{IdempotencyKey: "k"})
	check(t, err)
	if b.Stored != memory.MaxBatch || b.LSN != memory.MaxBatch {
		t.Fatalf("stored %d up to %d", b.Stored, b.LSN)
	}
	again, err := s.RememberBatch(ctx, es[:memory.MaxBatch], false, engram.WriteOptions{IdempotencyKey: "k"})
	check(t, err)
	if !again.Replayed || again.Items[999].LSN != b.Items[999].LSN || again.Items[999].StoredAt != b.Items[999].StoredAt {
		t.Errorf("the replay differs: %+v", again.Items[999])
	}

	// A thousand refused items with the longest ids fit the answer of a key.
	for i := range es {
		es[i].Text = "other"
	}
	b, err = s.RememberBatch(ctx, es[:memory.MaxBatch], true, engram.WriteOptions{IdempotencyKey: "refused"})
	check(t, err)
	if b.Failed != memory.MaxBatch {
		t.Fatalf("failed %d", b.Failed)
	}
	_, err = s.RememberBatch(ctx, es[:memory.MaxBatch], false, engram.WriteOptions{})
	mustCode(t, err, "id_conflict")
	var e *memory.Error
	if asError(err, &e); len(e.Details["items"].([]any)) != memory.MaxBatch || len(e.Message) > 16<<10 {
		t.Errorf("%d items named, in %d bytes of message", len(e.Details["items"].([]any)), len(e.Message))
	}
	i, err := s.Info(ctx)
	check(t, err)
	if i.Counts.Episodes != memory.MaxBatch {
		t.Errorf("%d memories", i.Counts.Episodes)
	}
	_, err = s.LinkBatch(ctx, make([]memory.Link, memory.MaxBatch+1), true, engram.WriteOptions{})
	mustCode(t, err, "batch_too_large")
	_, _, err = s.GetMany(ctx, make([]memory.ID, 1001), engram.ReadOptions{})
	mustCode(t, err, "list_too_long")
	_, err = s.Remember(ctx, memory.Episode{Text: "x"}, engram.WriteOptions{IdempotencyKey: strings.Repeat("k", 257)})
	mustCode(t, err, "idempotency_key_invalid")
}

// TestPartsSumToScore: whatever legs speak, the parts of a result sum to its
// score, results are best first, and none comes twice.
func TestPartsSumToScore(t *testing.T) {
	for _, metric := range []memory.Metric{memory.MetricCosine, memory.MetricDot, memory.MetricL2} {
		t.Run(string(metric), func(t *testing.T) {
			ctx := context.Background()
			db := openWith(t, vfs.NewMem(), engram.Options{})
			_, _, err := db.CreateSpace(ctx, "s", memory.Settings{Vector: memory.VectorSettings{Dimension: 2, Metric: metric}})
			check(t, err)
			s, err := db.Space("s")
			check(t, err)
			huge := []float32{1, 2, 3e38, -3e38, 1e-38}
			for i := range 60 {
				e := memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: fmt.Sprintf("otter %s", strings.Repeat("harbour ", i%5))}
				if i%3 > 0 {
					e.Vector = []float32{huge[i%5], float32(i + 1)}
				}
				remember(t, s, e)
			}
			rapid.Check(t, func(rt *rapid.T) {
				c := memory.Cue{Limit: rapid.IntRange(1, 70).Draw(rt, "limit")}
				c.Text = rapid.SampledFrom([]string{"", "otter", "harbour", "nothing"}).Draw(rt, "text")
				if rapid.Bool().Draw(rt, "vector") || c.Text == "" {
					c.Vector = []float32{rapid.SampledFrom(huge).Draw(rt, "x"), rapid.SampledFrom(huge).Draw(rt, "y")}
				}
				for range rapid.IntRange(0, 3).Draw(rt, "ids") {
					c.IDs = append(c.IDs, memory.ID(fmt.Sprint("m", rapid.IntRange(0, 59).Draw(rt, "id"))))
				}
				r, err := s.Recall(ctx, c)
				must(rt, err)
				seen := make(map[memory.ID]bool)
				for i, x := range r.Results {
					sum := 0.0
					for _, p := range x.Parts {
						sum += p.Value
					}
					if !(math.Abs(sum-x.Score) <= 1e-9*max(1, math.Abs(x.Score))) || math.IsInf(x.Score, 0) {
						rt.Fatalf("%s: the parts %+v do not sum to %v", x.Memory.ID, x.Parts, x.Score)
					}
					if seen[x.Memory.ID] || i > 0 && x.Score > r.Results[i-1].Score {
						rt.Fatalf("result %d, %s: twice, or better than the one before", i, x.Memory.ID)
					}
					seen[x.Memory.ID] = true
				}
				for _, id := range c.IDs[:min(len(c.IDs), c.Limit)] {
					if !seen[id] && len(c.IDs) <= c.Limit {
						rt.Fatalf("%s was named and is missing", id)
					}
				}
			})
		})
	}
}

// TestWaitFor: a waiter wakes when its LSN comes, and ends with its context and
// with Close.
func TestWaitFor(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	check(t, s.WaitFor(ctx, 0))
	const writes = 50
	var g sync.WaitGroup
	for k := range 8 {
		g.Go(func() {
			for lsn := memory.LSN(1 + k%3); lsn <= writes; lsn += 3 {
				if err := s.WaitFor(ctx, lsn); err != nil {
					t.Error(err)
				}
				if now, err := s.LSN(); err != nil || now < lsn {
					t.Errorf("woken for %d at %d, %v", lsn, now, err)
				}
			}
		})
	}
	for range writes {
		remember(t, s, memory.Episode{Text: "x"})
	}
	g.Wait()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	mustCode(t, s.WaitFor(gone, 1000), "cancelled")
	late, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	<-late.Done()
	mustCode(t, s.WaitFor(late, 1000), "timeout")
	ended := make(chan error)
	go func() { ended <- s.WaitFor(ctx, 1000) }()
	check(t, db.Close())
	if err := <-ended; codeOf(err) != "closed" {
		t.Error(err)
	}
}

// TestSubscriber: one that reads pages and waits gets every record once, in
// order, with no LSN missing, while eight write.
func TestSubscriber(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	const writers, each = 8, 40
	done := make(chan struct{})
	var seen []memory.LSN
	go func() {
		defer close(done)
		for after := memory.LSN(0); after < writers*each; {
			if err := s.WaitFor(ctx, after+1); err != nil {
				t.Error(err)
				return
			}
			es, next, err := s.Events(ctx, engram.EventQuery{After: after, Limit: 7, Types: []string{engram.EventRemembered}})
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range es {
				if e.Memory == nil || e.Memory.ID != e.ID || e.Memory.LSN != e.LSN {
					t.Errorf("event %+v", e)
				}
				seen = append(seen, e.LSN)
			}
			after = next
		}
	}()
	together(writers, func(k int) {
		for i := range each {
			if _, err := s.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprintf("k%di%d", k, i)), Text: "x"}, engram.WriteOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	<-done
	for i, lsn := range seen {
		if lsn != memory.LSN(i+1) {
			t.Fatalf("event %d has LSN %d", i, lsn)
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d events", len(seen))
	}
	_, next, err := s.Events(ctx, engram.EventQuery{After: math.MaxUint64})
	if err != nil || next != math.MaxUint64 {
		t.Error(next, err)
	}
}

// TestCallerLeaves: a call whose caller has gone before its turn says so, and
// nothing was done.
func TestCallerLeaves(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		_, err := s.Remember(gone, memory.Episode{Text: "x"}, engram.WriteOptions{})
		if err != nil {
			mustCode(t, err, "cancelled")
		}
	}
	p, err := s.List(context.Background(), engram.ListQuery{PageSize: 1000})
	check(t, err)
	if i, err := s.Info(context.Background()); err != nil || i.Counts.Episodes != uint64(len(p.Memories)) {
		t.Error(i.Counts, len(p.Memories), err)
	}
}

// TestBadModes: what the doors parse is checked again where it is used.
func TestBadModes(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	s := spaceOf(t, db, "s", 0)
	remember(t, s, memory.Episode{ID: "a", Text: "x"})
	_, err := s.Delete(ctx, "a", memory.ForgetMode(9), 0, engram.WriteOptions{})
	mustCode(t, err, "word_unknown")
	_, err = s.Forget(ctx, engram.ForgetQuery{IDs: []memory.ID{"a"}, Mode: 9}, 0, engram.WriteOptions{})
	mustCode(t, err, "word_unknown")
	_, err = s.Delete(ctx, "a", 0, 0, engram.WriteOptions{}) // the default: delete
	check(t, err)
	es, _, err := s.Events(ctx, engram.EventQuery{After: 1})
	check(t, err)
	if len(es) != 1 || es[0].Mode != "delete" {
		t.Errorf("%+v", es)
	}
	_, err = s.RememberBatch(ctx, nil, false, engram.WriteOptions{})
	mustCode(t, err, "batch_empty")
	for _, o := range []engram.Options{{MaxOpenSpaces: -1}, {TailBound: -1}, {IdleClose: -1}, {CacheBytes: -1}, {WalkWindow: -1}} {
		o.FS = vfs.NewMem()
		_, err := engram.Open(ctx, "data", o)
		mustCode(t, err, "option_out_of_range")
	}
	if _, err := db.Job("none"); codeOf(err) != "job_not_found" {
		t.Error(err)
	}
	if _, err := db.CancelJob("none"); codeOf(err) != "job_not_found" {
		t.Error(err)
	}
	j, err := db.DropSpace(ctx, "s")
	check(t, err)
	eventually(t, "the drop ends", func() bool { j, err = db.Job(j.ID); check(t, err); return j.State != engram.JobRunning })
	if _, err := db.CancelJob(j.ID); codeOf(err) != "job_ended" {
		t.Error(err)
	}
}

// FuzzRemember: bytes become a memory and a cue; whatever is accepted comes back
// and is found by its id, and nothing is answered with an untyped error.
func FuzzRemember(f *testing.F) {
	f.Add([]byte("otters swim"), []byte("tag"), uint64(0))
	f.Add([]byte("zürich 東京 🦦\u202e"), []byte{0xff}, uint64(1)<<63)
	f.Add([]byte(" \n"), []byte(""), uint64(math.MaxUint64))
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: vfs.NewMem()})
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	_, _, err = db.CreateSpace(context.Background(), "s", memory.Settings{Vector: memory.VectorSettings{Dimension: 2, Metric: memory.MetricL2}})
	if err != nil {
		f.Fatal(err)
	}
	s, err := db.Space("s")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, tag []byte, bits uint64) {
		ctx := context.Background()
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], bits)
		v := []float32{math.Float32frombits(binary.LittleEndian.Uint32(raw[:4])), math.Float32frombits(binary.LittleEndian.Uint32(raw[4:]))}
		e := memory.Episode{Text: string(text), Tags: []string{string(tag)}, Vector: v, Metadata: memory.Metadata{"k": string(tag), "n": math.Float64frombits(bits)}}
		w, err := s.Remember(ctx, e, engram.WriteOptions{})
		if err != nil {
			if memory.KindOf(err) != memory.KindInvalid {
				t.Fatal(err)
			}
			return
		}
		m, err := s.Get(ctx, w.ID, engram.ReadOptions{Vector: true})
		check(t, err)
		if m.Text != e.Text || !slices.Equal(m.Tags, e.Tags) || !slices.Equal(m.Vector, v) {
			t.Fatalf("%+v", m)
		}
		r, err := s.Recall(ctx, memory.Cue{Text: m.Text[:min(len(m.Text), 1000)], Vector: v, IDs: []memory.ID{w.ID}, Limit: 1})
		if err != nil && memory.KindOf(err) != memory.KindInvalid { // cut inside a letter, or blank up to there
			t.Fatal(err)
		}
		if err == nil && (len(r.Results) != 1 || r.Results[0].Memory.ID != w.ID) {
			t.Fatalf("%+v", r)
		}
		_, err = s.Delete(ctx, w.ID, memory.Delete, 0, engram.WriteOptions{}) // so that the next input is as fast
		check(t, err)
	})
}
