package quality

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/engramdb/engram/memory"
)

// NPL remembers the collection's documents in one space and asks its queries;
// people have said which documents are relevant.
func NPL(ctx context.Context, e Engine, folder string, rep *Report) error {
	c, err := readNPL(folder)
	if err != nil {
		return err
	}
	if err := e.Remember(ctx, "npl", c.docs); err != nil {
		return err
	}
	for _, q := range c.queries {
		relevant := c.relevant[q.n]
		if len(relevant) == 0 {
			continue
		}
		got, err := ask(ctx, e, "npl", memory.Cue{Text: q.text, Limit: 20})
		if err != nil {
			return fmt.Errorf("query %d: %w", q.n, err)
		}
		rep.Add("nDCG@10", relevant.ndcg(got, 10))
		rep.Add("R@20", relevant.found(got, 20))
	}
	return nil
}

// ndcg is the discounted gain of the first k, by that of the best order.
func (wanted set) ndcg(got []memory.ID, k int) float64 {
	gain, ideal := 0.0, 0.0
	for i, id := range got[:min(k, len(got))] {
		if wanted[id] {
			gain += 1 / math.Log2(float64(i+2))
		}
	}
	for i := range min(k, len(wanted)) {
		ideal += 1 / math.Log2(float64(i+2))
	}
	return gain / ideal
}

type collection struct {
	docs     []memory.Episode
	queries  []numbered
	relevant map[int]set
}

type numbered struct {
	n    int
	text string
}

func readNPL(folder string) (*collection, error) {
	c := &collection{relevant: map[int]set{}}
	docs, err := readNumbered(filepath.Join(folder, "doc-text"))
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		if d.text != "" {
			c.docs = append(c.docs, memory.Episode{ID: docID(d.n), Text: d.text})
		}
	}
	if c.queries, err = readNumbered(filepath.Join(folder, "query-text")); err != nil {
		return nil, err
	}
	judged, err := records(filepath.Join(folder, "rlv-ass"))
	if err != nil {
		return nil, err
	}
	for _, r := range judged {
		c.judge(r)
	}
	return c, nil
}

func docID(n int) memory.ID { return memory.ID(fmt.Sprintf("d%d", n)) }

// judge reads "query doc doc ...".
func (c *collection) judge(record string) {
	var ns []int
	for _, w := range strings.Fields(record) {
		if n, err := strconv.Atoi(w); err == nil {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return
	}
	if c.relevant[ns[0]] == nil {
		c.relevant[ns[0]] = set{}
	}
	for _, n := range ns[1:] {
		c.relevant[ns[0]][docID(n)] = true
	}
}

// readNumbered reads records whose first line is their number, in the order of
// the file; of two with one number the later counts.
func readNumbered(file string) ([]numbered, error) {
	rs, err := records(file)
	if err != nil {
		return nil, err
	}
	at := map[int]int{}
	var out []numbered
	for _, r := range rs {
		head, body, _ := strings.Cut(r, "\n")
		n, err := strconv.Atoi(strings.TrimSpace(head))
		if err != nil {
			continue
		}
		x := numbered{n, strings.Join(strings.Fields(body), " ")}
		if i, ok := at[n]; ok {
			out[i] = x
			continue
		}
		at[n] = len(out)
		out = append(out, x)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].n < out[j].n })
	return out, nil
}

var slash = regexp.MustCompile(`(?m)^\s*/\s*$`)

// records splits a file at the lines that hold only a slash.
func records(file string) ([]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parts := slash.Split(latin1(b), -1)
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts, nil
}

// latin1 reads bytes as the collection was written, each a character.
func latin1(b []byte) string {
	rs := make([]rune, len(b))
	for i, x := range b {
		rs[i] = rune(x)
	}
	return string(rs)
}
