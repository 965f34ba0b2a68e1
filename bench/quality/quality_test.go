package quality

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/engramdb/engram/memory"
)

// scripted answers each question as it was told to, and keeps what it heard.
type scripted struct {
	answers map[string][]memory.ID
	heard   map[string][]memory.Episode
	cues    []memory.Cue
}

func (s *scripted) Remember(_ context.Context, space string, es []memory.Episode) error {
	if s.heard == nil {
		s.heard = map[string][]memory.Episode{}
	}
	s.heard[space] = append(s.heard[space], es...)
	return nil
}

func (s *scripted) Recall(_ context.Context, _ string, c memory.Cue) ([]memory.ID, error) {
	s.cues = append(s.cues, c)
	return s.answers[c.Text], nil
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func expect(t *testing.T, rep *Report, want map[string]float64) {
	t.Helper()
	got := map[string]Metric{}
	for _, m := range rep.Metrics() {
		got[m.Name] = m
		if m.Low > m.Mean || m.High < m.Mean {
			t.Errorf("%s is %.2f, outside [%.2f, %.2f]", m.Name, m.Mean, m.Low, m.High)
		}
	}
	for name, x := range want {
		if math.Abs(got[name].Mean-x) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got[name].Mean, x)
		}
	}
}

const tinyLocomo = `[{"conversation": {
  "speaker_a": "Ann", "speaker_b": "Bo",
  "session_2_date_time": "9:05 am on 1 June, 2023",
  "session_2": [{"dia_id": "D2:1", "speaker": "Bo", "text": "I moved to Oslo.", "blip_caption": "a harbour"}],
  "session_1_date_time": "1:56 pm on 8 May, 2023",
  "session_1": [{"dia_id": "D1:1", "speaker": "Ann", "text": "Hello."}, {"dia_id": "D1:2", "speaker": "Bo", "text": "I have a dog."}]
 }, "qa": [
  {"question": "Where does Bo live?", "evidence": ["D2:1"], "category": 1},
  {"question": "What of Bo?", "evidence": ["D1:2; D2:1", "D9:9"], "category": 5},
  {"question": "Nothing?", "evidence": ["D7:7"], "category": 2}
 ]}]`

func TestLocomo(t *testing.T) {
	e := &scripted{answers: map[string][]memory.ID{
		"Where does Bo live?": {"D2:1", "D1:1"},
		"What of Bo?":         {"D1:1", "D1:2"},
	}}
	rep := NewReport()
	if err := Locomo(context.Background(), e, write(t, "l.json", tinyLocomo), rep); err != nil {
		t.Fatal(err)
	}
	expect(t, rep, map[string]float64{"R@5": 75, "R@10": 75, "R@20": 75, "R@10.cat1": 100, "in_2000_tokens": 75})
	es := e.heard["locomo0"]
	if len(es) != 3 || es[0].ID != "D1:1" || es[2].Text != "Bo: I moved to Oslo. [shares a photo: a harbour]" || es[2].Stream != "session_2" {
		t.Errorf("remembered %+v", es)
	}
	if got := es[0].Happened.From.Format("2006-01-02T15:04"); got != "2023-05-08T13:56" {
		t.Errorf("the first session was at %s", got)
	}
	c := e.cues[0]
	if len(e.cues) != 2 || c.Limit != 50 || c.Mode != memory.ModeAssociative || !c.Now.Equal(es[2].Happened.From) {
		t.Errorf("asked %+v", c)
	}
}

func TestFit(t *testing.T) {
	words := map[memory.ID]int{"a": 100, "b": 100, "c": 100} // 139 tokens each
	got := []memory.ID{"a", "b", "c"}
	for tokens, want := range map[int]int{138: 0, 139: 1, 277: 1, 278: 2, 1000: 3} {
		if n := fit(got, words, tokens); n != want {
			t.Errorf("%d of three fit into %d tokens, want %d", n, tokens, want)
		}
	}
}

func TestHotpot(t *testing.T) {
	file := write(t, "h.jsonl", `{"question_text": "q1", "contexts": [{"title": "A", "paragraph_text": "x", "is_supporting": true}, {"title": "B", "paragraph_text": "y", "is_supporting": true}, {"title": "C", "paragraph_text": "z", "is_supporting": false}]}
{"question_text": "q2", "contexts": [{"title": "C", "paragraph_text": "z", "is_supporting": true}, {"title": "A", "paragraph_text": "x", "is_supporting": false}]}
`)
	e := &scripted{answers: map[string][]memory.ID{
		"q1": {"d0", "d2", "d9", "d8", "d7", "d1"},
		"q2": {"d2"},
	}}
	rep := NewReport()
	if err := Hotpot(context.Background(), e, file, rep); err != nil {
		t.Fatal(err)
	}
	if n := len(e.heard["pool"]); n != 3 {
		t.Errorf("the pool has %d passages, want 3: the same passage is one", n)
	}
	expect(t, rep, map[string]float64{"R@2": 75, "R@5": 75, "R@10": 100, "all@5": 50})
}

func TestNPL(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"doc-text":   "1\nalpha  beta\n gamma\n   /\n2\ndelta\n/\n3\n\n/\n",
		"query-text": "1\nALPHA\n/\n2\nNONE\n/\n",
		"rlv-ass":    "1\n 1 2\n/\n2\n/\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := &scripted{answers: map[string][]memory.ID{"ALPHA": {"d5", "d1"}}}
	rep := NewReport()
	if err := NPL(context.Background(), e, dir, rep); err != nil {
		t.Fatal(err)
	}
	if es := e.heard["npl"]; len(es) != 2 || es[0].Text != "alpha beta gamma" {
		t.Errorf("remembered %+v", es)
	}
	ideal := 1 + 1/math.Log2(3)
	expect(t, rep, map[string]float64{"nDCG@10": 100 / math.Log2(3) / ideal, "R@20": 50})
	if len(e.cues) != 1 {
		t.Errorf("%d queries were asked; the one without judgements is left out", len(e.cues))
	}
}

func TestIntervalIsDeterministic(t *testing.T) {
	a, b := NewReport(), NewReport()
	for i := range 100 {
		x := float64(i%3) / 2
		a.Add("m", x)
		b.Add("m", x)
	}
	if a.Metrics()[0] != b.Metrics()[0] {
		t.Error("the same values gave two intervals")
	}
}
