package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A bar shows on a terminal how far something is, how fast, and how long it will
// still take. Elsewhere it is silent.
type bar struct {
	w     io.Writer
	of    int64 // 0: not known
	began time.Time
	drawn time.Time
	on    bool
}

// barEvery is how often a bar is drawn.
const barEvery = 100 * time.Millisecond

func newBar(w io.Writer, of int64) *bar {
	return &bar{w: w, of: of, began: time.Now(), on: isTerminal(w)}
}

// isTerminal says whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// draw shows that so many of the whole are done, which are so many items.
func (b *bar) draw(done, items int64) {
	now := time.Now()
	if !b.on || now.Sub(b.drawn) < barEvery {
		return
	}
	b.drawn = now
	_, _ = io.WriteString(b.w, "\r\x1b[K"+barLine(done, b.of, items, now.Sub(b.began))) // nobody is told that a bar failed
}

// barWidth is how many characters the bar itself has.
const barWidth = 24

// barLine is what a bar shows.
func barLine(done, of, items int64, took time.Duration) string {
	seconds := max(took.Seconds(), 1e-3)
	rate := fmt.Sprintf("%d items, %.0f/s", items, float64(items)/seconds)
	if of <= 0 {
		return rate
	}
	part := min(float64(done)/float64(of), 1)
	full := int(part * barWidth)
	line := fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*part, rate)
	if part > 0 && part < 1 {
		left := time.Duration(seconds * (1 - part) / part * float64(time.Second))
		line += ", " + left.Round(time.Second).String() + " left"
	}
	return line
}

// clear makes room for a line of text.
func (b *bar) clear() {
	if b.on {
		_, _ = io.WriteString(b.w, "\r\x1b[K") // as in draw
	}
}

// end takes the bar away.
func (b *bar) end() { b.clear() }
