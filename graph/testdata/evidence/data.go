package evidence

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/engramdb/engram/text"
)

// collection is memories, the questions about them and which memories answer.
// Memory i has ordinal i+1.
type collection struct {
	name      string
	texts     []string
	titles    []string // nil: none
	streams   []uint32 // nil: none
	people    []string // nil: none
	tokens    []int    // as API.md estimates them
	questions []question

	analyzer *text.Analyzer
	words    *text.Index
	vectors  [][]float32 // nil: none
}

type question struct {
	text   string
	class  string
	gold   map[int]bool
	vector []float32
}

func (c *collection) index() error {
	var err error
	if c.analyzer, err = text.NewAnalyzer("en"); err != nil {
		return err
	}
	c.words = text.NewIndex(text.Params{})
	for i, t := range c.texts {
		c.words.Put(uint32(i), c.analyzer.Analyze(c.title(i), t))
		c.tokens = append(c.tokens, int(1.35*float64(len(strings.Fields(t))))+4)
	}
	return nil
}

func (c *collection) title(i int) string {
	if c.titles == nil {
		return ""
	}
	return c.titles[i]
}

var turnID = regexp.MustCompile(`D\d+:\d+`)

// readLocomo gives the five conversations, a memory a turn, a stream a session.
func readLocomo(dir string) ([]*collection, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "locomo", "locomo_dev.json"))
	if err != nil {
		return nil, err
	}
	var conversations []struct {
		Conversation map[string]json.RawMessage
		QA           []struct {
			Question string
			Evidence []string
			Category int
		}
	}
	if err := json.Unmarshal(raw, &conversations); err != nil {
		return nil, err
	}
	var all []*collection
	for n, v := range conversations {
		c, number := &collection{name: fmt.Sprint("locomo ", n+1)}, map[string]int{}
		for s := 1; v.Conversation["session_"+strconv.Itoa(s)] != nil; s++ {
			var turns []struct {
				Speaker, Text string
				DiaID         string `json:"dia_id"`
				BlipCaption   string `json:"blip_caption"`
			}
			if err := json.Unmarshal(v.Conversation["session_"+strconv.Itoa(s)], &turns); err != nil {
				return nil, err
			}
			for _, t := range turns {
				body := t.Speaker + ": " + t.Text
				if t.BlipCaption != "" {
					body += " [shares a photo: " + t.BlipCaption + "]"
				}
				number[t.DiaID] = len(c.texts)
				c.texts, c.streams, c.people = append(c.texts, body), append(c.streams, uint32(s)), append(c.people, t.Speaker)
			}
		}
		for _, q := range v.QA {
			gold := map[int]bool{}
			for _, e := range turnID.FindAllString(strings.Join(q.Evidence, " "), -1) {
				if i, ok := number[e]; ok {
					gold[i] = true
				}
			}
			if len(gold) > 0 {
				c.questions = append(c.questions, question{text: q.Question, class: fmt.Sprint("cat", q.Category), gold: gold})
			}
		}
		if err := c.index(); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// readHotpot gives all contexts as one pool. A question whose cue names both gold
// titles compares, another needs a bridge.
func readHotpot(dir string) (*collection, error) {
	f, err := os.Open(filepath.Join(dir, "multihop", "hotpotqa_dev.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	c, number := &collection{name: "hotpot"}, map[string]int{}
	for lines.Scan() {
		var q struct {
			Text     string `json:"question_text"`
			Contexts []struct {
				Title string
				Text  string `json:"paragraph_text"`
				Gold  bool   `json:"is_supporting"`
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, err
		}
		gold, named := map[int]bool{}, 0
		for _, x := range q.Contexts {
			key := x.Title + "\x00" + x.Text
			n, ok := number[key]
			if !ok {
				n = len(c.texts)
				number[key] = n
				c.texts, c.titles = append(c.texts, x.Text), append(c.titles, x.Title)
			}
			if x.Gold {
				gold[n] = true
				base, _, _ := strings.Cut(x.Title, " (")
				if strings.Contains(strings.ToLower(q.Text), strings.ToLower(base)) {
					named++
				}
			}
		}
		class := "bridge"
		if named >= 2 {
			class = "comparison"
		}
		if len(gold) > 0 {
			c.questions = append(c.questions, question{text: q.Text, class: class, gold: gold})
		}
	}
	return c, c.index()
}
