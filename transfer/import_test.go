package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/transfer"
)

func jsonl(lines ...string) transfer.Items {
	return transfer.JSONL("f.jsonl", strings.NewReader(strings.Join(lines, "\n")))
}

// many are n memories of some streams, as lines.
func many(n, streams int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"text":"%d","stream":"s%d"}`, i, i%streams))
	}
	return out
}

func load(t *testing.T, f *fake, items transfer.Items, o transfer.ImportOptions) (transfer.Tally, []*transfer.Rejection) {
	t.Helper()
	var bad []*transfer.Rejection
	o.Space = "s"
	o.Rejected = func(r *transfer.Rejection) error { bad = append(bad, r); return nil }
	tally, err := transfer.Import(t.Context(), f, items, o)
	if err != nil {
		t.Fatal(err)
	}
	return tally, bad
}

// Streams keep their order, whatever the workers do, and the same again stores
// nothing.
func TestStreamsKeepTheirOrder(t *testing.T) {
	f := newFake()
	lines := many(2000, 7)
	tally, bad := load(t, f, jsonl(lines...), transfer.ImportOptions{BatchItems: 13})
	if tally.Created != 2000 || len(bad) > 0 {
		t.Fatalf("%+v, %v", tally, bad)
	}
	for s := range 7 {
		got := f.texts(fmt.Sprintf("s%d", s))
		for i, text := range got {
			if want := fmt.Sprint(i*7 + s); text != want {
				t.Fatalf("stream %d has %s at %d, want %s", s, text, i, want)
			}
		}
	}
	for _, b := range f.batches {
		if len(b) > 13 {
			t.Errorf("a batch has %d items", len(b))
		}
	}
	tally, _ = load(t, f, jsonl(lines...), transfer.ImportOptions{})
	if tally.Kept != 2000 || tally.Created != 0 {
		t.Errorf("again: %+v", tally)
	}
}

// Two equal lines are two memories: they stand at two places.
func TestEqualLines(t *testing.T) {
	f := newFake()
	tally, _ := load(t, f, jsonl(`{"text":"a"}`, `{"text":"a"}`), transfer.ImportOptions{})
	if tally.Created != 2 {
		t.Errorf("%+v", tally)
	}
}

// What has one id comes in in the order of the file: the first stands, or the last replaces it.
func TestEqualIDs(t *testing.T) {
	var lines []string
	for i := range 100 {
		for _, text := range []string{"first", "second", "last"} {
			lines = append(lines, fmt.Sprintf(`{"id":"m%d","text":%q}`, i, text))
		}
	}
	for policy, want := range map[string]string{"error": "first", "keep": "first", "replace": "last"} {
		f := newFake()
		load(t, f, jsonl(lines...), transfer.ImportOptions{OnConflict: policy, BatchItems: 10})
		for _, text := range f.texts("") {
			if text != want {
				t.Fatalf("%s: %q stands, want %q", policy, text, want)
			}
		}
	}
}

func TestRejections(t *testing.T) {
	f := newFake()
	tally, bad := load(t, f, jsonl(`{"text":"good"}`, `{"text":"bad"}`, `{"txt":"typo"}`, `not json`, ``, `{"link":{"from":"x","to":"y","type":"t"}}`, `{"text":"last"}`),
		transfer.ImportOptions{})
	if tally.Created != 2 || tally.Rejected != 4 || tally.Read != 6 {
		t.Errorf("%+v", tally)
	}
	want := map[int]string{2: "text_blank", 3: "field_unknown", 4: "json_invalid", 6: "node_not_found"}
	for _, r := range bad {
		if want[r.Item.Line] != r.Reason.Code && r.Item.Line != 4 {
			t.Errorf("line %d: %+v", r.Item.Line, r.Reason)
		}
		delete(want, r.Item.Line)
		if r.Item.Line == 3 && (r.Reason.Field != "txt" || !strings.Contains(r.Reason.Hint, "text") || r.Item.Raw != `{"txt":"typo"}`) {
			t.Errorf("%+v", r.Reason)
		}
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

func TestOnConflict(t *testing.T) {
	for policy, want := range map[string]transfer.Tally{
		"":        {Read: 3, Created: 1, Kept: 1, Rejected: 1},
		"keep":    {Read: 3, Created: 1, Kept: 2},
		"replace": {Read: 3, Created: 1, Kept: 1, Replaced: 1},
	} {
		f := newFake()
		load(t, f, jsonl(`{"id":"a","text":"old"}`, `{"id":"b","text":"same"}`), transfer.ImportOptions{})
		got, _ := load(t, f, jsonl(`{"id":"a","text":"new"}`, `{"id":"b","text":"same"}`, `{"id":"c","text":"c"}`), transfer.ImportOptions{OnConflict: policy})
		if got.Created != want.Created || got.Kept != want.Kept || got.Replaced != want.Replaced || got.Rejected != want.Rejected {
			t.Errorf("%q: %+v, want %+v", policy, got, want)
		}
	}
	if _, err := transfer.Import(t.Context(), newFake(), jsonl(), transfer.ImportOptions{OnConflict: "fight"}); memory.KindOf(err) != memory.KindInvalid {
		t.Error(err)
	}
}

func TestEntitiesOnConflict(t *testing.T) {
	for policy, want := range map[string]string{"": "Mara", "keep": "Mara", "replace": "Maria"} {
		f := newFake()
		load(t, f, jsonl(`{"entity":{"id":"m","name":"Mara"}}`), transfer.ImportOptions{})
		tally, bad := load(t, f, jsonl(`{"entity":{"id":"m","name":"Maria"}}`), transfer.ImportOptions{OnConflict: policy})
		if f.people[0].GetName() != want || (len(bad) == 1) != (policy == "") {
			t.Errorf("%q: %+v, %v, %s", policy, tally, bad, f.people[0].GetName())
		}
	}
}

func TestLinksOnConflict(t *testing.T) {
	for policy, want := range map[string]string{"": "a", "keep": "a", "replace": "b"} {
		f := newFake()
		node := `{"id":"m","text":"m"}`
		load(t, f, jsonl(node, `{"link":{"id":"l","from":"m","to":"m","type":"a"}}`), transfer.ImportOptions{})
		tally, bad := load(t, f, jsonl(node, `{"link":{"id":"l","from":"m","to":"m","type":"b"}}`), transfer.ImportOptions{OnConflict: policy})
		if f.links[0].GetType() != want || (len(bad) == 1) != (policy == "") {
			t.Errorf("%q: %+v, %v, %s", policy, tally, bad, f.links[0].GetType())
		}
	}
}

// Entities go side by side; what a file says of one later holds, however far it is
// behind, and what fails ends the import.
func TestManyEntities(t *testing.T) {
	f := newFake()
	var lines []string
	for i := range 3000 {
		lines = append(lines, fmt.Sprintf(`{"entity":{"id":"e%d","name":"name %d"}}`, i%1000, i))
	}
	tally, bad := load(t, f, jsonl(lines...), transfer.ImportOptions{OnConflict: "replace", BatchItems: 100})
	if len(bad) > 0 || tally.Read != 3000 || len(f.people) != 1000 {
		t.Fatalf("%+v, %d entities, %v", tally, len(f.people), bad)
	}
	for _, e := range f.people {
		if n, _ := strconv.Atoi(e.GetId()[1:]); e.GetName() != fmt.Sprint("name ", n+2000) {
			t.Errorf("%s is %q", e.GetId(), e.GetName())
		}
	}
	broken := errors.New("broken")
	g := newFake()
	g.before = func(call string, n int) error {
		if call == "PutEntity" && n > 50 {
			return broken
		}
		return nil
	}
	if _, err := transfer.Import(t.Context(), g, jsonl(lines...), transfer.ImportOptions{Space: "s"}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// A batch that is refused as a whole comes in in parts.
func TestHalves(t *testing.T) {
	f := newFake()
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf(`{"text":"%d %s"}`, i, strings.Repeat("x", 200)))
	}
	if tally, _ := load(t, f, jsonl(lines...), transfer.ImportOptions{}); tally.Created != 40 {
		t.Errorf("%+v", tally)
	}
}

// What names another node comes behind it, across all workers.
func TestOrderOfKinds(t *testing.T) {
	f := newFake()
	lines := []string{`{"entity":{"id":"mara","name":"Mara"}}`}
	for i := range 300 {
		lines = append(lines, fmt.Sprintf(`{"id":"m%d","text":"t","entities":[{"id":"mara"}]}`, i))
	}
	for i := range 299 {
		lines = append(lines, fmt.Sprintf(`{"link":{"from":"m%d","to":"m%d","type":"next"}}`, i, 299-i))
	}
	for i := range 50 { // drafts that name one another
		to := fmt.Sprintf("m%d", i)
		if i > 0 {
			to = fmt.Sprintf("d%d", i-1)
		}
		lines = append(lines, fmt.Sprintf(`{"id":"d%d","text":"t","links":[{"type":"after","to":"%s"}]}`, i, to))
	}
	tally, bad := load(t, f, jsonl(lines...), transfer.ImportOptions{BatchItems: 7})
	if len(bad) > 0 || tally.Created != int64(len(lines)) {
		t.Errorf("%+v, %d refused, the first: %+v", tally, len(bad), bad[0].Reason)
	}
}

// Wherever an import breaks off, the next one that begins at its mark ends with
// everything in, once, and does not do again what was done long ago.
func TestResume(t *testing.T) {
	lines := many(1000, 5)
	for _, breaks := range []int{1, 3, 8, 20} {
		f := newFake()
		f.before = func(call string, n int) error {
			if call == "RememberBatch" && n == breaks {
				return memory.Errorf(memory.KindDiskFull, "disk_full", "no room")
			}
			return nil
		}
		mark := int64(0)
		o := transfer.ImportOptions{Space: "s", BatchItems: 40, Moved: func(_ transfer.Tally, done int64) error {
			if done < mark {
				t.Errorf("the mark went back from %d to %d", mark, done)
			}
			mark = done
			return nil
		}}
		_, err := transfer.Import(t.Context(), f, jsonl(lines...), o)
		if memory.KindOf(err) != memory.KindDiskFull {
			t.Fatal(err)
		}
		f.before = nil
		stored := len(f.order)
		o.Skip = mark
		tally, err := transfer.Import(t.Context(), f, jsonl(lines...), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.order) != 1000 || tally.Created != int64(1000-stored) || tally.Kept > int64(stored)-o.Skip || mark != 1000 {
			t.Errorf("broken at %d: %d stored at first, mark %d, then %+v: %s", breaks, stored, o.Skip, tally, f)
		}
	}
}

func TestInterrupted(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	f.before = func(_ string, n int) error {
		if n == 5 {
			cancel(why)
		}
		return nil
	}
	_, err := transfer.Import(ctx, f, jsonl(many(5000, 3)...), transfer.ImportOptions{Space: "s", BatchItems: 10})
	if !errors.Is(err, why) || len(f.order) >= 5000 {
		t.Errorf("%v after %s", err, f)
	}
}

func TestDryRun(t *testing.T) {
	f := newFake()
	check := func(m *engramv1.MemoryInput) error {
		if m.GetText() == "7" {
			return memory.Invalid("text_blank", "text", "no sevens")
		}
		return nil
	}
	tally, bad := load(t, f, jsonl(append(many(20, 2), `{"engram":{"version":1,"space":"x"}}`, `nonsense`)...), transfer.ImportOptions{DryRun: true, Check: check})
	if f.calls != 0 || tally.Read != 21 || tally.Rejected != 2 || len(bad) != 2 {
		t.Errorf("%d calls, %+v", f.calls, tally)
	}
}

func TestHeader(t *testing.T) {
	header := `{"engram":{"version":1,"space":"notes","lsn":"3","settings":{"vector":{"dimension":3}}}}`
	f := newFake()
	f.missing = true
	tally, _ := load(t, f, jsonl(header, `{"text":"a","vector":[1,2,3]}`), transfer.ImportOptions{})
	if f.settings.GetVector().GetDimension() != 3 || len(tally.Warnings) != 1 {
		t.Errorf("%v, %+v", f.settings, tally)
	}
	_, err := transfer.Import(t.Context(), newFake(), jsonl(header), transfer.ImportOptions{Space: "s"})
	if memory.KindOf(err) != memory.KindConflict {
		t.Error(err)
	}
	tally, _ = load(t, newFake(), jsonl(`{"text":"a"}`, `{"end":{"memories":2,"entities":0,"links":0,"digest":""}}`), transfer.ImportOptions{})
	if len(tally.Warnings) != 1 || !strings.Contains(tally.Warnings[0], "2 memories") {
		t.Errorf("%+v", tally)
	}
	_, bad := load(t, newFake(), jsonl(`{"engram":{"version":2}}`), transfer.ImportOptions{})
	if len(bad) != 1 || bad[0].Reason.Code != "format_version" {
		t.Errorf("%+v", bad)
	}
}

// export writes what a fake has, and gives the digest.
func export(t interface{ Fatal(...any) }, f *fake, o transfer.ExportOptions) (string, transfer.End) {
	var b bytes.Buffer
	o.Space = "s"
	end, err := transfer.Export(context.Background(), f, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), end
}

// What goes out comes in again, the same to the last byte of the digest, in
// whatever order it was stored.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFake()
		for i := range rapid.IntRange(0, 5).Draw(t, "entities") {
			f.people = append(f.people, &engramv1.Entity{Id: fmt.Sprintf("e%d", i), Name: rapid.String().Draw(t, "name"), Aliases: []string{"x"}, Version: uint32(i)})
		}
		for i := range rapid.IntRange(0, 40).Draw(t, "memories") {
			id := fmt.Sprintf("m%d", i)
			m := &engramv1.MemoryInput{Id: id, Text: rapid.String().Draw(t, "text"), Stream: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "stream"),
				Vector: rapid.SliceOfN(rapid.Float32(), 0, 3).Draw(t, "vector"), Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewNumberValue(rapid.Float64().Draw(t, "n"))}},
				HappenedAt: timestamppb.New(timestamppb.Now().AsTime())}
			f.order, f.memories[id] = append(f.order, id), m
			for n := range rapid.IntRange(0, 2).Draw(t, "mentions") {
				if len(f.people) > n {
					f.links = append(f.links, &engramv1.Link{Id: id + "-m" + fmt.Sprint(n), From: id, To: f.people[n].GetId(), Type: "mentions", Weight: 1, Rule: memory.RuleMentions})
				}
			}
		}
		nodes := slices.Clone(f.order)
		for _, e := range f.people {
			nodes = append(nodes, e.GetId())
		}
		for i := range rapid.IntRange(0, 30).Draw(t, "links") {
			if len(nodes) > 0 {
				f.links = append(f.links, &engramv1.Link{Id: fmt.Sprintf("l%d", i), From: rapid.SampledFrom(nodes).Draw(t, "from"), To: rapid.SampledFrom(nodes).Draw(t, "to"),
					Type: "t", Weight: rapid.Float64Range(0, 9).Draw(t, "weight"), Rule: memory.RuleCaller})
			}
		}
		out, end := export(t, f, transfer.ExportOptions{})
		g := newFake()
		tally, err := transfer.Import(context.Background(), g, transfer.JSONL("x.jsonl", strings.NewReader(out)), transfer.ImportOptions{Space: "s", BatchItems: 3})
		if err != nil || tally.Rejected > 0 || len(tally.Warnings) > 0 {
			t.Fatalf("%+v, %v", tally, err)
		}
		rand.Shuffle(len(g.order), func(i, j int) { g.order[i], g.order[j] = g.order[j], g.order[i] })
		if _, again := export(t, g, transfer.ExportOptions{}); again != end {
			t.Fatalf("%+v became %+v", end, again)
		}
	})
}

// Vectors that a model made are not said by anybody, and not written unless they
// are asked for.
func TestMadeVectors(t *testing.T) {
	dimension := int32(2)
	f := newFake()
	f.settings.Vector = &engramv1.VectorSettings{Dimension: &dimension, Model: "m"}
	f.made = map[string]bool{"a": true}
	for _, id := range []string{"a", "b"} {
		f.order, f.memories[id] = append(f.order, id), &engramv1.MemoryInput{Id: id, Text: id, Vector: []float32{1, 2}}
	}
	for v, n := range map[transfer.Vectors]int{"": 1, transfer.VectorsGiven: 1, transfer.VectorsAll: 2, transfer.VectorsNone: 0} {
		out, _ := export(t, f, transfer.ExportOptions{Vectors: v})
		if strings.Count(out, `"vector":[1,2]`) != n || strings.Contains(out, `"dimension":2`) != (v != transfer.VectorsNone) {
			t.Errorf("%q:\n%s", v, out)
		}
	}
	if _, err := transfer.Export(t.Context(), f, &bytes.Buffer{}, transfer.ExportOptions{Space: "s", Vectors: "some"}); memory.KindOf(err) != memory.KindInvalid {
		t.Error(err)
	}
	_, bad := load(t, newFake(), jsonl(`{"id":"x","text":"shown","vector":[1,2],"vector_made":true,"version":1}`), transfer.ImportOptions{})
	if len(bad) > 0 {
		t.Error(bad[0].Reason)
	}
}

// A memory with more links than come along has them all exported.
func TestExportManyLinks(t *testing.T) {
	f := newFake()
	for _, id := range []string{"a", "b"} {
		f.order, f.memories[id] = append(f.order, id), &engramv1.MemoryInput{Id: id, Text: id}
	}
	for i := range 2500 {
		f.links = append(f.links, &engramv1.Link{Id: fmt.Sprintf("l%d", i), From: "a", To: "b", Type: "t", Rule: memory.RuleCaller})
	}
	if out, end := export(t, f, transfer.ExportOptions{}); end.Links != 2500 || strings.Count(out, "\n") != 2504 {
		t.Errorf("%+v", end)
	}
}

// What points at a memory that is left out is left out too: it could not come in.
func TestExportLinksToWhatIsThere(t *testing.T) {
	f := newFake()
	f.order, f.memories["a"] = []string{"a"}, &engramv1.MemoryInput{Id: "a", Text: "a"}
	f.people = []*engramv1.Entity{{Id: "e", Name: "e"}}
	for i, to := range []string{"a", "e", "suppressed"} {
		f.links = append(f.links, &engramv1.Link{Id: fmt.Sprint("l", i), From: "a", To: to, Type: "t", Rule: memory.RuleCaller},
			&engramv1.Link{Id: fmt.Sprint("m", i), From: "a", To: to, Type: "mentions", Rule: memory.RuleMentions})
	}
	out, end := export(t, f, transfer.ExportOptions{})
	if end.Links != 2 || strings.Contains(out, "suppressed") || strings.Count(out, `"entities":[{"id":"e"}]`) != 1 {
		t.Errorf("%+v\n%s", end, out)
	}
}

func TestExportFails(t *testing.T) {
	broken := errors.New("broken")
	for n := 1; ; n++ {
		f := newFake()
		for i := range 300 {
			id := fmt.Sprint("m", i)
			f.order, f.memories[id] = append(f.order, id), &engramv1.MemoryInput{Id: id, Text: id}
		}
		f.people = []*engramv1.Entity{{Id: "e", Name: "e"}}
		f.links = []*engramv1.Link{{Id: "l", From: "m1", To: "e", Type: "t", Rule: memory.RuleCaller}}
		f.before = func(_ string, k int) error {
			if k == n {
				return broken
			}
			return nil
		}
		_, err := transfer.Export(t.Context(), f, &bytes.Buffer{}, transfer.ExportOptions{Space: "s"})
		if err == nil {
			if n < 6 {
				t.Errorf("an export makes only %d calls", n)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d: %v", n, err)
		}
	}
}
