package text

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestQuality asks real questions of real text and compares what plain BM25 finds with what this package was built to
// find, less a margin of 0.3 points for ties. One analyzer and one set of parameters serve all three collections.
func TestQuality(t *testing.T) {
	dir := os.Getenv("ENGRAM_DATA")
	if dir == "" {
		t.Skip("ENGRAM_DATA is not set: point it to the folder of test data to measure retrieval quality")
	}
	for _, c := range []struct {
		name string
		ask  func(*testing.T, string) map[string]float64
		bars map[string]float64
	}{
		{"locomo", locomo, map[string]float64{"R@5": 56.8, "R@10": 64.2, "R@20": 70.2}},
		{"hotpotqa", hotpot, map[string]float64{"R@5": 78.0}},
		{"npl", npl, map[string]float64{"nDCG@10": 45.0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.ask(t, dir)
			t.Logf("%v", got)
			for metric, bar := range c.bars {
				if got[metric] < bar-0.3 {
					t.Errorf("%s is %.2f, want at least %.2f", metric, got[metric], bar-0.3)
				}
			}
		})
	}
}

// tally keeps the mean of each metric, in percent.
type tally struct {
	sum map[string]float64
	n   map[string]int
}

func newTally() *tally { return &tally{map[string]float64{}, map[string]int{}} }

func (y *tally) add(metric string, value float64) {
	y.sum[metric] += 100 * value
	y.n[metric]++
}

// recall adds the share of gold among the first 5, 10 and 20 hits.
func (y *tally) recall(hits []Hit, gold map[uint32]bool) {
	for _, k := range []int{5, 10, 20} {
		found := 0
		for _, h := range hits[:min(k, len(hits))] {
			if gold[h.Doc] {
				found++
			}
		}
		y.add("R@"+strconv.Itoa(k), float64(found)/float64(len(gold)))
	}
}

func (y *tally) means() map[string]float64 {
	for metric := range y.sum {
		y.sum[metric] /= float64(y.n[metric])
	}
	return y.sum
}

func locomo(t *testing.T, dir string) map[string]float64 {
	raw := readFile(t, dir, "locomo", "locomo_dev.json")
	var conversations []struct {
		Conversation map[string]json.RawMessage
		QA           []struct {
			Question string
			Evidence []string
		}
	}
	if err := json.Unmarshal(raw, &conversations); err != nil {
		t.Fatal(err)
	}
	session, turnID := regexp.MustCompile(`^session_\d+$`), regexp.MustCompile(`D\d+:\d+`)
	en := analyzer(t, "en")
	y := newTally()
	for _, c := range conversations {
		x, number := NewIndex(Params{}), map[string]uint32{}
		for i := 1; ; i++ {
			name := "session_" + strconv.Itoa(i)
			if c.Conversation[name] == nil || !session.MatchString(name) {
				break
			}
			var turns []struct {
				Speaker, Text string
				DiaID         string `json:"dia_id"`
				BlipCaption   string `json:"blip_caption"`
			}
			if err := json.Unmarshal(c.Conversation[name], &turns); err != nil {
				t.Fatal(err)
			}
			for _, turn := range turns {
				body := turn.Speaker + ": " + turn.Text
				if turn.BlipCaption != "" {
					body += " [shares a photo: " + turn.BlipCaption + "]"
				}
				number[turn.DiaID] = uint32(len(number))
				x.Put(number[turn.DiaID], en.Analyze("", body))
			}
		}
		for _, q := range c.QA {
			gold := map[uint32]bool{}
			for _, e := range turnID.FindAllString(strings.Join(q.Evidence, " "), -1) {
				if n, ok := number[e]; ok {
					gold[n] = true
				}
			}
			if len(gold) > 0 {
				y.recall(x.Search(en.Query(q.Question), SearchOptions{Limit: 20}), gold)
			}
		}
	}
	return y.means()
}

func hotpot(t *testing.T, dir string) map[string]float64 {
	type context struct {
		Title string
		Text  string `json:"paragraph_text"`
		Gold  bool   `json:"is_supporting"`
	}
	type question struct {
		Text string `json:"question_text"`
		gold map[uint32]bool
	}
	en, x := analyzer(t, "en"), NewIndex(Params{})
	number := map[string]uint32{}
	var questions []question
	lines := bufio.NewScanner(strings.NewReader(string(readFile(t, dir, "multihop", "hotpotqa_dev.jsonl"))))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		q := question{gold: map[uint32]bool{}}
		var contexts struct{ Contexts []context }
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(lines.Bytes(), &contexts); err != nil {
			t.Fatal(err)
		}
		for _, c := range contexts.Contexts {
			key := c.Title + "\x00" + c.Text
			n, ok := number[key]
			if !ok {
				n = uint32(len(number))
				number[key] = n
				x.Put(n, en.Analyze(c.Title, c.Text))
			}
			if c.Gold {
				q.gold[n] = true
			}
		}
		if len(q.gold) > 0 {
			questions = append(questions, q)
		}
	}
	y := newTally()
	for _, q := range questions {
		y.recall(x.Search(en.Query(q.Text), SearchOptions{Limit: 20}), q.gold)
	}
	return y.means()
}

func npl(t *testing.T, dir string) map[string]float64 {
	en, x := analyzer(t, "en"), NewIndex(Params{})
	for n, body := range nplRecords(t, dir, "doc-text") {
		x.Put(n, en.Analyze("", body))
	}
	relevant := map[uint32]map[uint32]bool{}
	for n, list := range nplRecords(t, dir, "rlv-ass") {
		relevant[n] = map[uint32]bool{}
		for _, f := range strings.Fields(list) {
			d, err := strconv.ParseUint(f, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			relevant[n][uint32(d)] = true
		}
	}
	y := newTally()
	for n, q := range nplRecords(t, dir, "query-text") {
		if len(relevant[n]) == 0 {
			continue
		}
		gain, ideal := 0.0, 0.0
		for i, h := range x.Search(en.Query(q), SearchOptions{Limit: 10}) {
			if relevant[n][h.Doc] {
				gain += 1 / math.Log2(float64(i+2))
			}
		}
		for i := range min(10, len(relevant[n])) {
			ideal += 1 / math.Log2(float64(i+2))
		}
		y.add("nDCG@10", gain/ideal)
	}
	return y.means()
}

// nplRecords reads a file of the NPL collection: records of a number and text, each closed by a line with a slash.
func nplRecords(t *testing.T, dir, name string) map[uint32]string {
	records := map[uint32]string{}
	slash := regexp.MustCompile(`(?m)^\s*/\s*$`)
	for _, record := range slash.Split(string(readFile(t, dir, "npl", name)), -1) {
		head, body, _ := strings.Cut(strings.TrimSpace(record), "\n")
		if n, err := strconv.ParseUint(strings.TrimSpace(head), 10, 32); err == nil {
			records[uint32(n)] = strings.Join(strings.Fields(body), " ")
		}
	}
	return records
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func analyzer(t testing.TB, language string) *Analyzer {
	t.Helper()
	a, err := NewAnalyzer(language)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
