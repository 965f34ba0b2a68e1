package engram_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// otters is a space with a few linked memories.
func otters(t testing.TB, o engram.Options) (*engram.DB, *engram.Space) {
	t.Helper()
	o.FS, o.AutoLinks = vfs.NewMem(), true
	db, err := engram.Open(context.Background(), "data", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, _, err := db.CreateSpace(context.Background(), "notes", memory.Settings{Vector: memory.VectorSettings{Dimension: 2}}); err != nil {
		t.Fatal(err)
	}
	s, err := db.Space("notes")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		e := memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: fmt.Sprintf("Otter %d sleeps by the river.", i), Vector: []float32{1, float32(i)}, Stream: "talk",
			Happened: memory.At(time.Date(2026, 3, i+1, 0, 0, 0, 0, time.UTC))}
		if _, err := s.Remember(context.Background(), e, engram.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return db, s
}

// TestReplay: from a receipt the same results come again, whatever became of the memories
// since, as long as nothing of them was erased.
func TestReplay(t *testing.T) {
	ctx := context.Background()
	_, s := otters(t, engram.Options{})
	now := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	long := strings.Repeat("It rained all day and nobody came.\n\n", 60)
	remember(t, s, memory.Episode{ID: "long", Text: long + "The keeper of the otters was late.\n\n" + long})
	for name, c := range map[string]memory.Cue{
		"associative": {Text: "otter 3 by the river on 5 March", Now: now, Limit: 5},
		"vectors":     {Vector: []float32{1, 2}, IncludeVector: true},
		"budget":      {Text: "otter", Budget: &memory.Budget{Tokens: 30}, Order: memory.OrderTime},
		"recognise":   {Text: "otter 3", Mode: memory.ModeRecognise},
		"recent":      {Mode: memory.ModeRecent, Limit: 3},
		"passage":     {Text: "the keeper of otters", Limit: 1},
		"nothing":     {Text: "violin", Mode: memory.ModeSimilar},
	} {
		c.Replay = true
		first, err := s.Recall(ctx, c)
		check(t, err)
		if name == "passage" && (len(first.Results) != 1 || first.Results[0].Passage == nil) {
			t.Errorf("%s: %+v", name, first.Results)
		}
		same(t, name, s, first)
	}
	c := memory.Cue{Text: "otter 3 by the river", Replay: true, IncludeVector: true}
	first, err := s.Recall(ctx, c)
	check(t, err)
	remember(t, s, memory.Episode{ID: "new", Text: "Otter 3 by the river, again."})
	_, err = s.Update(ctx, "m3", func(e *memory.Episode) error { e.Text = "Nothing of the sort."; return nil }, engram.WriteOptions{})
	check(t, err)
	_, err = s.Forget(ctx, engram.ForgetQuery{IDs: []memory.ID{"m4"}, Mode: memory.Suppress}, 10*time.Second, engram.WriteOptions{})
	check(t, err)
	_, err = s.Forget(ctx, engram.ForgetQuery{IDs: []memory.ID{"m2"}, Mode: memory.Delete}, 10*time.Second, engram.WriteOptions{})
	check(t, err)
	same(t, "changed since", s, first)
	_, err = s.Forget(ctx, engram.ForgetQuery{IDs: []memory.ID{"m5"}, Mode: memory.Erase}, 10*time.Second, engram.WriteOptions{})
	check(t, err)
	_, err = s.ReplayRecall(ctx, first.Receipt)
	mustCode(t, err, "payload_erased")
}

// same fails unless a replay gives the results of the first answer.
func same(t *testing.T, name string, s *engram.Space, first engram.Recollection) {
	t.Helper()
	again, err := s.ReplayRecall(context.Background(), first.Receipt)
	check(t, err)
	if len(again.Results) != len(first.Results) || again.LSN != first.LSN || !again.Now.Equal(first.Now) || again.RecallID != first.RecallID || len(again.Times) != len(first.Times) ||
		again.Exact != first.Exact || again.Compared != first.Compared || !reflect.DeepEqual(again.Recognition, first.Recognition) {
		t.Fatalf("%s: %+v\nfirst: %+v", name, again, first)
	}
	for i := range again.Results {
		a, b := again.Results[i], first.Results[i]
		if written(t, a) != written(t, b) {
			t.Errorf("%s: result %d is\n%+v\nit was\n%+v", name, i, a, b)
		}
	}
}

// written is a result as bytes.
func written(t *testing.T, r engram.Result) string {
	t.Helper()
	b, err := json.Marshal([]any{r.Memory, r.Score, r.Origin, r.Passage, r.Parts, append([]engram.Path{}, r.Paths...)})
	check(t, err)
	return string(b)
}

// TestReplayBeyond: past the horizon a receipt says so.
func TestReplayBeyond(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
	_, s := otters(t, engram.Options{Clock: c})
	first, err := s.Recall(ctx, memory.Cue{Text: "otter", Replay: true})
	check(t, err)
	remember(t, s, memory.Episode{ID: "new", Text: "Much later."})
	eventually(t, "the horizon passes the recall", func() bool {
		c.Advance(24 * time.Hour)
		i, err := s.Info(ctx)
		check(t, err)
		return i.Horizon > first.LSN
	})
	_, err = s.ReplayRecall(ctx, first.Receipt)
	mustCode(t, err, "beyond_horizon")
}

// TestReplayRefuses: what was changed, is of another space or cannot be kept is refused.
func TestReplayRefuses(t *testing.T) {
	ctx := context.Background()
	db, s := otters(t, engram.Options{})
	first, err := s.Recall(ctx, memory.Cue{Text: "otter", Replay: true})
	check(t, err)
	b, err := base64.RawURLEncoding.DecodeString(first.Receipt)
	check(t, err)
	for i := 0; i < len(b); i += 7 {
		b[i] ^= 0x10
		_, err := s.ReplayRecall(ctx, base64.RawURLEncoding.EncodeToString(b))
		mustCode(t, err, "receipt_invalid")
		b[i] ^= 0x10
	}
	for _, x := range []string{"", "x", "!", first.Receipt[:len(first.Receipt)-4], first.Receipt + "AAAA"} {
		_, err := s.ReplayRecall(ctx, x)
		mustCode(t, err, "receipt_invalid")
	}
	_, err = spaceOf(t, db, "other", 2).ReplayRecall(ctx, first.Receipt)
	mustCode(t, err, "receipt_invalid")
	_, err = s.Recall(ctx, memory.Cue{Text: "otter", Replay: true, IncludeLinks: true})
	mustCode(t, err, "replay_without_links")
	_, err = db.RecallAcross(ctx, []memory.SpaceName{"notes"}, memory.Cue{Text: "otter", Replay: true})
	mustCode(t, err, "replay_of_one_space")
}

// FuzzReplay: whatever the bytes, also with a digest that fits, a replay fails with a typed
// error or gives what stands.
func FuzzReplay(f *testing.F) {
	_, s := otters(f, engram.Options{})
	for _, c := range []memory.Cue{{Text: "otter"}, {Vector: []float32{1, 0}, IncludeVector: true}, {Mode: memory.ModeRecent}} {
		c.Replay = true
		r, err := s.Recall(context.Background(), c)
		if err != nil {
			f.Fatal(err)
		}
		b, err := base64.RawURLEncoding.DecodeString(r.Receipt)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[33:], true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = seal(b)
		}
		r, err := s.ReplayRecall(context.Background(), base64.RawURLEncoding.EncodeToString(b))
		if code := codeOf(err); err != nil && code != "vector_replaced" && code != "receipt_invalid" && code != "payload_erased" && code != "beyond_horizon" {
			t.Fatal(err)
		}
		for _, x := range r.Results {
			if x.Memory.ID == "" {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// seal puts the format and a digest that fits before the body of a receipt.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(append([]byte{1}, sum[:]...), body...)
}

// TestReplayReembedded: what was shown without vectors comes again as it was when another
// model has made the vectors anew; what was shown with them cannot.
func TestReplayReembedded(t *testing.T) {
	ctx := context.Background()
	clk := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	_, db, s := modelled(t, engram.Options{Clock: clk})
	rememberWaiting(t, s, memory.Episode{ID: "a", Text: "the otter swims"})
	plain, err := s.Recall(ctx, memory.Cue{Text: "otter", Replay: true})
	check(t, err)
	shown, err := s.Recall(ctx, memory.Cue{Text: "otter", Replay: true, IncludeVector: true})
	check(t, err)
	same(t, "before", s, shown)
	j, err := s.Reembed(ctx, newWide(t).name)
	check(t, err)
	eventually(t, "the vectors are made", func() bool { clk.Advance(time.Second); return infoOf(t, s).Reembed == nil })
	if j = jobEnded(t, db, j.ID); j.State != engram.JobDone {
		t.Fatalf("%+v", j)
	}
	same(t, "after", s, plain)
	_, err = s.ReplayRecall(ctx, shown.Receipt)
	mustCode(t, err, "vector_replaced")
}
