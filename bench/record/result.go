package record

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Result is one run of one benchmark.
type Result struct {
	Benchmark  string         `json:"benchmark"`
	Date       time.Time      `json:"date"`
	Machine    Machine        `json:"machine"`
	Parameters map[string]any `json:"parameters"`
	Figures    []Figure       `json:"figures"`
	Notes      []string       `json:"notes,omitempty"`
}

// Figure is one number that was measured.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Low   float64 `json:"low,omitempty"` // of the 95 % interval, when there is one
	High  float64 `json:"high,omitempty"`
	N     int     `json:"n,omitempty"` // how many it was computed from
	Bar   *Bar    `json:"bar,omitempty"`
	Met   *bool   `json:"met,omitempty"`
}

// Bar is what a figure is held to.
type Bar struct {
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
	Why     string   `json:"why,omitempty"` // how it came about, when it was computed
}

// AtLeast is the bar that a figure must reach.
func AtLeast(x float64) *Bar { return &Bar{AtLeast: &x} }

// AtMost is the bar that a figure must not pass.
func AtMost(x float64) *Bar { return &Bar{AtMost: &x} }

// Because says how the bar came about.
func (b *Bar) Because(format string, args ...any) *Bar {
	b.Why = fmt.Sprintf(format, args...)
	return b
}

func (b *Bar) met(x float64) bool {
	return (b.AtLeast == nil || x >= *b.AtLeast) && (b.AtMost == nil || x <= *b.AtMost)
}

func (b *Bar) String() string {
	var s string
	if b.AtLeast != nil {
		s = ">= " + number(*b.AtLeast)
	}
	if b.AtMost != nil {
		s = "<= " + number(*b.AtMost)
	}
	if b.Why != "" {
		s += " (" + b.Why + ")"
	}
	return s
}

// New begins the result of a benchmark.
func New(benchmark string, m Machine, parameters map[string]any) *Result {
	return &Result{Benchmark: benchmark, Date: time.Now().UTC().Truncate(time.Second), Machine: m, Parameters: parameters}
}

// Add puts a figure into the result; bar may be nil.
func (r *Result) Add(f Figure, bar *Bar) {
	if bar != nil {
		met := bar.met(f.Value)
		f.Bar, f.Met = bar, &met
	}
	r.Figures = append(r.Figures, f)
}

// Millis adds a time in milliseconds.
func (r *Result) Millis(name string, d time.Duration, n int, bar *Bar) {
	r.Add(Figure{Name: name, Value: float64(d) / float64(time.Millisecond), Unit: "ms", N: n}, bar)
}

// Note adds a sentence below the table.
func (r *Result) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Missed lists the figures that do not meet their bar.
func (r *Result) Missed() (missed []string) {
	for _, f := range r.Figures {
		if f.Met != nil && !*f.Met {
			missed = append(missed, f.Name)
		}
	}
	return missed
}

// String is the table.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n%s\n", r.Benchmark, r.Date.Format(time.RFC3339), r.Machine)
	for _, k := range sortedKeys(r.Parameters) {
		fmt.Fprintf(&b, "  %s: %v\n", k, r.Parameters[k])
	}
	b.WriteByte('\n')
	name, value := 0, 0
	for _, f := range r.Figures {
		name, value = max(name, len(f.Name)), max(value, len(f.number()))
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "%-*s  %*s %-5s%s\n", name, f.Name, value, f.number(), f.Unit, f.rest())
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

// number of a percentage has two digits at every size, so that it can be held
// against a bar of one.
func (f Figure) number() string {
	if f.Unit == "%" {
		return fmt.Sprintf("%.2f", f.Value)
	}
	return number(f.Value)
}

func (f Figure) rest() string {
	var s string
	if f.Low != 0 || f.High != 0 {
		s += fmt.Sprintf("  [%.2f, %.2f]", f.Low, f.High)
	}
	if f.N > 0 {
		s += fmt.Sprintf("  n=%d", f.N)
	}
	switch {
	case f.Met == nil:
	case *f.Met:
		s += "  bar " + f.Bar.String() + ": met"
	default:
		s += "  bar " + f.Bar.String() + ": NOT MET"
	}
	return s
}

// number writes a figure with as many digits as say something.
func number(x float64) string {
	switch a := max(x, -x); {
	case a >= 1000:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1:
		return fmt.Sprintf("%.2f", x)
	default:
		return fmt.Sprintf("%.3f", x)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Save writes the result as NAME.txt and NAME.json into dir, over older ones of
// the same benchmark: their history is the repository's.
func (r *Result) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	js, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, r.Benchmark+".json"), append(js, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Benchmark+".txt"), []byte(r.String()), 0o644)
}

// Markdown is the table for a page.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, %s\n\n%s\n\n", r.Benchmark, r.Date.Format(time.RFC3339), r.Machine)
	for _, k := range sortedKeys(r.Parameters) {
		fmt.Fprintf(&b, "- %s: %v\n", k, r.Parameters[k])
	}
	b.WriteString("\n| figure | value | bar | |\n|---|---:|---|---|\n")
	for _, f := range r.Figures {
		bar, met := "", ""
		if f.Met != nil {
			bar, met = f.Bar.String(), "met"
			if !*f.Met {
				met = "**not met**"
			}
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", f.Name, f.number(), f.Unit, bar, met)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

// SaveMarkdown writes the table as NAME.md into dir, which Save has made.
func (r *Result) SaveMarkdown(dir string) error {
	return os.WriteFile(filepath.Join(dir, r.Benchmark+".md"), []byte(r.Markdown()), 0o644)
}
