package quality

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/engramdb/engram/memory"
)

type hotpotLine struct {
	Question string `json:"question_text"`
	Contexts []struct {
		Title string `json:"title"`
		Text  string `json:"paragraph_text"`
		Gold  bool   `json:"is_supporting"`
	} `json:"contexts"`
}

// pooled is a question and the passages of the pool that answer it.
type pooled struct {
	question string
	gold     set
	class    string // comparison: it names two of its gold titles; bridge: it does not
}

// Hotpot pools the contexts of all questions of HotpotQA into one space and
// asks for the gold ones.
func Hotpot(ctx context.Context, e Engine, file string, rep *Report) error {
	docs, questions, err := readHotpot(file)
	if err != nil {
		return err
	}
	if err := e.Remember(ctx, "pool", docs); err != nil {
		return err
	}
	for _, q := range questions {
		got, err := ask(ctx, e, "pool", memory.Cue{Text: q.question, Limit: 20})
		if err != nil {
			return fmt.Errorf("%q: %w", q.question, err)
		}
		for _, k := range []int{2, 5, 10, 20} {
			rep.Add(fmt.Sprintf("R@%d", k), q.gold.found(got, k))
		}
		rep.Add("R@5."+q.class, q.gold.found(got, 5))
		all := 0.0
		if q.gold.found(got, 5) == 1 {
			all = 1
		}
		rep.Add("all@5", all)
	}
	return nil
}

func readHotpot(file string) (docs []memory.Episode, questions []pooled, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	number := map[[2]string]memory.ID{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var x hotpotLine
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		q := pooled{question: x.Question, gold: set{}, class: "bridge"}
		named := map[string]bool{}
		for _, c := range x.Contexts {
			key := [2]string{c.Title, c.Text}
			if _, ok := number[key]; !ok {
				number[key] = memory.ID(fmt.Sprintf("d%d", len(docs)))
				docs = append(docs, memory.Episode{ID: number[key], Title: c.Title, Text: c.Text})
			}
			if c.Gold {
				q.gold[number[key]] = true
				named[c.Title] = says(x.Question, c.Title)
			}
		}
		if both(named) {
			q.class = "comparison"
		}
		if len(q.gold) > 0 {
			questions = append(questions, q)
		}
	}
	return docs, questions, lines.Err()
}
