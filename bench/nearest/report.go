package nearest

import (
	"fmt"
	"strings"
	"time"
)

// Report is everything of one run.
type Report struct {
	Machine string
	Date    time.Time
	Says    []string // parameters
	Missing map[string]string
	Left    map[string]string // by set: who was left out, and why
	Sets    []SetReport
}

// SetReport is one set's part.
type SetReport struct {
	Set       *Set
	Curves    []*Curve
	Picture   string // file beside the report; "" is none
	Filtered  []Filtered
	Coded     []Coded
	Inserting *Inserting
	Churned   *Churned
	Opened    *Opened
}

// Targets are the recalls at which engines are compared.
var Targets = []float64{0.95, 0.97, 0.99}

// Markdown writes the report.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Nearest vectors beside the rivals\n\n%s, %s\n\n", r.Date.Format(time.RFC3339), r.Machine)
	for _, s := range r.Says {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	for pip, why := range r.Missing {
		fmt.Fprintf(&b, "- missing: %s could not be installed (%s)\n", pip, why)
	}
	for _, s := range r.Sets {
		if who := r.Left[s.Set.Name]; who != "" {
			fmt.Fprintf(&b, "- left out on %s: %s\n", s.Set.Name, who)
		}
	}
	b.WriteString("\n| set | vectors | metric | cosine to the nearest | to the tenth | to any |\n|---|---|---|---|---|---|\n")
	for _, s := range r.Sets {
		l := s.Set.Likeness
		fmt.Fprintf(&b, "| %s: %s | %d x %d | %s | %.2f | %.2f | %.2f |\n", s.Set.Name, s.Set.Says, s.Set.N, s.Set.Dim, s.Set.Metric, l.Nearest, l.Tenth, l.Random)
	}
	for _, s := range r.Sets {
		s.markdown(&b)
	}
	return b.String()
}

func (s *SetReport) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s, %d x %d\n", s.Set.Name, s.Set.N, s.Set.Dim)
	if len(s.Curves) > 0 {
		s.curves(b)
	}
	if len(s.Filtered) > 0 {
		s.filters(b)
	}
	if len(s.Coded) > 0 {
		s.codes(b)
	}
	if s.Inserting == nil && s.Churned == nil && s.Opened == nil {
		return
	}
	b.WriteByte('\n')
	if i := s.Inserting; i != nil {
		fmt.Fprintf(b, "- Insert while searching: a burst of %d into %d at %.0f/s, the last one linked after %.1f s; %d of %d not found right after; search p99 %s ms idle, %s ms during (%d searches).\n",
			i.Burst, i.Before, i.Put, i.Settled.Seconds(), i.Missed, i.Asked, millis(i.IdleP99), millis(i.DuringP99), i.Searches)
	}
	if c := s.Churned; c != nil {
		fmt.Fprintf(b, "- Churn: after %d rounds of replacing half, recall@10 %.3f; of an index built anew %.3f. Memory %d MB against %d MB.\n", c.Rounds, c.Recall, c.Fresh, c.Bytes>>20, c.NewBytes>>20)
	}
	if o := s.Opened; o != nil {
		fmt.Fprintf(b, "- Opening: a snapshot of %d MB, written in %.2f s, opened in %.3f s to the first answer.\n", o.Size>>20, o.Saved.Seconds(), o.Took.Seconds())
	}
}

func (s *SetReport) curves(b *strings.Builder) {
	b.WriteString("\n| engine | codes | version |")
	for _, t := range Targets {
		fmt.Fprintf(b, " QPS at %.2f |", t)
	}
	b.WriteString(" most recall | build, 2 threads | memory | bytes a vector |\n|---|---|---|" + strings.Repeat("---|", len(Targets)+4) + "\n")
	for _, c := range s.Curves {
		s.row(b, c)
	}
	fmt.Fprintf(b, "\nA > stands before the rate of an engine's least effort, which has more recall than is asked for; - where no effort reaches it.\n")
	if s.Picture != "" {
		fmt.Fprintf(b, "\n![%s](%s)\n", s.Set.Name, s.Picture)
	}
}

func (s *SetReport) row(b *strings.Builder, c *Curve) {
	fmt.Fprintf(b, "| %s | %s | %s |", c.Engine, c.Codes, c.Version)
	if c.Failed != "" {
		fmt.Fprintf(b, " %s%s\n", strings.ReplaceAll(c.Failed, "|", "/"), strings.Repeat(" |", len(Targets)+4))
		return
	}
	for _, t := range Targets {
		b.WriteString(" " + rateAt(c, t) + " |")
	}
	most := 0.0
	for _, p := range c.Points {
		most = max(most, p.Recall)
	}
	fmt.Fprintf(b, " %.4f | %.1f s | %d MB | %d |\n", most, c.Built.Took.Seconds(), c.Built.Bytes>>20, c.Built.Bytes/int64(s.Set.N))
}

func rateAt(c *Curve, recall float64) string {
	rate, floor := c.At(recall)
	switch {
	case rate == 0:
		return "-"
	case floor:
		return fmt.Sprintf("> %.0f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

func (s *SetReport) filters(b *strings.Builder) {
	b.WriteString("\n| filter | passing |")
	for _, w := range s.Filtered[0].Ways {
		fmt.Fprintf(b, " %s: recall | p50 ms | p99 ms |", w.Name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", 3*len(s.Filtered[0].Ways)) + "\n")
	for _, f := range s.Filtered {
		fmt.Fprintf(b, "| %g %%, %s | %d |", f.Share*100, f.Relation, f.Passing)
		for _, w := range f.Ways {
			fmt.Fprintf(b, " %.3f | %s | %s |", w.Recall, millis(w.P50), millis(w.P99))
		}
		b.WriteByte('\n')
	}
}

func millis(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond))
}

// Ratio is ours at a recall by the best of the rivals that pick chooses; 0 when
// there is nothing to compare. The best rival is named.
func (s *SetReport) Ratio(recall float64, pick func(*Curve) bool) (ratio float64, best string) {
	var ours, theirs float64
	for i, c := range s.Curves {
		rate, _ := c.At(recall)
		switch {
		case i == 0:
			ours = rate
		case pick(c) && rate > theirs:
			theirs, best = rate, c.Engine
		}
	}
	if ours == 0 || theirs == 0 {
		return 0, best
	}
	return ours / theirs, best
}
