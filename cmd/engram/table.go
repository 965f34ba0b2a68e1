package main

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// A table is aligned columns for people. Cells are made plain and put on one
// line; below a row may stand indented lines of its own.
type table struct {
	header []string
	rows   []row
}

type row struct {
	cells, below []string
}

func (t *table) add(cells ...string) *row {
	for i := range cells {
		cells[i] = oneLine(cells[i])
	}
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

func (t *table) print(w io.Writer) error {
	out := bufio.NewWriter(w)
	widths := t.widths()
	if len(t.header) > 0 {
		writeCells(out, t.header, widths)
	}
	for _, r := range t.rows {
		writeCells(out, r.cells, widths)
		for _, line := range r.below {
			_, _ = out.WriteString("    " + oneLine(line) + "\n") // Flush gives the error
		}
	}
	return out.Flush()
}

func (t *table) widths() []int {
	widths := make([]int, len(t.header))
	grow := func(cells []string) {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	grow(t.header)
	for _, r := range t.rows {
		grow(r.cells)
	}
	return widths
}

func writeCells(out *bufio.Writer, cells []string, widths []int) {
	var line strings.Builder
	for i, c := range cells {
		line.WriteString(c)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
	}
	_, _ = out.WriteString(strings.TrimRight(line.String(), " ") + "\n") // Flush gives the error
}

// cut shortens a text to at most n characters, on one line.
func cut(s string, n int) string {
	s = oneLine(s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return strings.TrimRight(string([]rune(s)[:n-1]), " ") + "…"
}
