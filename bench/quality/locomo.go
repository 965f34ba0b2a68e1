package quality

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/engramdb/engram/memory"
)

// conversation is one of LoCoMo's: sessions of turns, and questions whose
// evidence names turns.
type conversation struct {
	Conversation map[string]json.RawMessage `json:"conversation"`
	QA           []question                 `json:"qa"`
}

type question struct {
	Question string   `json:"question"`
	Evidence []string `json:"evidence"`
	Category int      `json:"category"`
}

type turn struct {
	ID      memory.ID `json:"dia_id"`
	Speaker string    `json:"speaker"`
	Text    string    `json:"text"`
	Caption string    `json:"blip_caption"`
}

// Locomo remembers each conversation in a space of its own, one memory a turn,
// and asks its questions when it has ended.
func Locomo(ctx context.Context, e Engine, file string, rep *Report) error {
	var convs []conversation
	if err := readJSON(file, &convs); err != nil {
		return err
	}
	for n, c := range convs {
		space := fmt.Sprintf("locomo%d", n)
		es, err := c.episodes()
		if err != nil {
			return fmt.Errorf("conversation %d: %w", n, err)
		}
		if err := e.Remember(ctx, space, es); err != nil {
			return err
		}
		if err := c.ask(ctx, e, space, es, rep); err != nil {
			return err
		}
	}
	return nil
}

var sessionKey = regexp.MustCompile(`^session_(\d+)$`)

// episodes turns the conversation into memories, session by session.
func (c *conversation) episodes() ([]memory.Episode, error) {
	var numbers []int
	for k := range c.Conversation {
		if m := sessionKey.FindStringSubmatch(k); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, n)
		}
	}
	sort.Ints(numbers)
	var es []memory.Episode
	for _, n := range numbers {
		key := fmt.Sprintf("session_%d", n)
		var turns []turn
		if err := json.Unmarshal(c.Conversation[key], &turns); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		happened := c.when(key + "_date_time")
		for _, t := range turns {
			es = append(es, memory.Episode{ID: t.ID, Text: t.said(), People: []string{t.Speaker}, Stream: key, Happened: happened})
		}
	}
	return es, nil
}

func (t turn) said() string {
	if t.Caption == "" {
		return t.Speaker + ": " + t.Text
	}
	return t.Speaker + ": " + t.Text + " [shares a photo: " + t.Caption + "]"
}

// when reads "1:56 pm on 8 May, 2023"; nil where it is something else.
func (c *conversation) when(key string) *memory.Interval {
	var s string
	if json.Unmarshal(c.Conversation[key], &s) != nil {
		return nil
	}
	s = strings.ToLower(strings.TrimSpace(strings.ReplaceAll(s, ",", "")))
	t, err := time.Parse("3:04 pm on 2 January 2006", s)
	if err != nil {
		return nil
	}
	return memory.At(t)
}

var turnID = regexp.MustCompile(`D\d+:\d+`)

// evidence lists the turns that a question needs, of those that exist.
func (q question) evidence(words map[memory.ID]int) set {
	ev := set{}
	for _, s := range q.Evidence {
		for _, id := range turnID.FindAllString(s, -1) {
			if _, ok := words[memory.ID(id)]; ok {
				ev[memory.ID(id)] = true
			}
		}
	}
	return ev
}

func (c *conversation) ask(ctx context.Context, e Engine, space string, es []memory.Episode, rep *Report) error {
	words := map[memory.ID]int{}
	var now time.Time
	for _, x := range es {
		words[x.ID] = len(strings.Fields(x.Text))
		if x.Happened != nil && x.Happened.From.After(now) {
			now = x.Happened.From
		}
	}
	for _, q := range c.QA {
		ev := q.evidence(words)
		if len(ev) == 0 {
			continue
		}
		got, err := ask(ctx, e, space, memory.Cue{Text: q.Question, Limit: 50, Now: now})
		if err != nil {
			return fmt.Errorf("%s: %q: %w", space, q.Question, err)
		}
		for _, k := range []int{5, 10, 20} {
			rep.Add(fmt.Sprintf("R@%d", k), ev.found(got, k))
		}
		for _, class := range q.classes(space, ev, now) {
			rep.Add("R@10."+class, ev.found(got, 10))
		}
		if q.Category >= 1 && q.Category <= 4 {
			rep.Add(fmt.Sprintf("R@10.cat%d", q.Category), ev.found(got, 10))
		}
		rep.Add("in_2000_tokens", ev.found(got, fit(got, words, 2000)))
	}
	return nil
}

// fit says how many of the first memories fit into a budget of tokens.
func fit(got []memory.ID, words map[memory.ID]int, tokens int) int {
	used := 0
	for i, id := range got {
		used += memory.EstimateTokens(words[id])
		if used > tokens {
			return i
		}
	}
	return len(got)
}

func readJSON(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
