package transfer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// CSVOptions say how a CSV file is read.
type CSVOptions struct {
	// Comma between two values; default ','.
	Comma rune
	// Map says which column goes into which field: text, title, id, happened_at,
	// people, tags, stream, source, salience, place, lat, lon, or metadata.KEY;
	// "metadata" to "*" means each other column under its own name. Default: the
	// columns that are called as a field go there, the others into metadata.
	Map map[string]string
	// List is what parts several people or tags; default ";".
	List string
}

// csvFields are what a column can go into.
var csvFields = map[string]func(m *engramv1.MemoryInput, value, list string) error{
	"id":          func(m *engramv1.MemoryInput, v, _ string) error { m.Id = v; return nil },
	"title":       func(m *engramv1.MemoryInput, v, _ string) error { m.Title = v; return nil },
	"text":        func(m *engramv1.MemoryInput, v, _ string) error { m.Text = v; return nil },
	"happened_at": func(m *engramv1.MemoryInput, v, _ string) error { return happen(m, v) },
	"people":      func(m *engramv1.MemoryInput, v, list string) error { m.People = split(v, list); return nil },
	"tags":        func(m *engramv1.MemoryInput, v, list string) error { m.Tags = split(v, list); return nil },
	"stream":      func(m *engramv1.MemoryInput, v, _ string) error { m.Stream = v; return nil },
	"source":      func(m *engramv1.MemoryInput, v, _ string) error { m.Source = v; return nil },
	"place":       func(m *engramv1.MemoryInput, v, _ string) error { place(m).Name = v; return nil },
	"salience":    func(m *engramv1.MemoryInput, v, _ string) error { return number("salience", v, &m.Salience) },
	"lat":         func(m *engramv1.MemoryInput, v, _ string) error { return number("lat", v, &place(m).Lat) },
	"lon":         func(m *engramv1.MemoryInput, v, _ string) error { return number("lon", v, &place(m).Lon) },
}

func place(m *engramv1.MemoryInput) *engramv1.Place {
	if m.Place == nil {
		m.Place = &engramv1.Place{}
	}
	return m.Place
}

func number(field, s string, into **float64) error {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return memory.Invalid("number_invalid", field, "%s is %.32q, which is not a number", field, s)
	}
	*into = &x
	return nil
}

func split(s, by string) []string {
	var out []string
	for part := range strings.SplitSeq(s, by) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// A column is where one column of the file goes.
type column struct {
	set func(m *engramv1.MemoryInput, value, list string) error // nil: into metadata, or nowhere
	key string                                                  // of metadata; "" nowhere
}

// CSV walks over a file with a row of names first. A row that is wrong is a bad
// item; so is what a quote that is never closed swallows.
func CSV(file string, r io.Reader, o CSVOptions) Items {
	return func(yield func(*Item, error) bool) {
		if o.List == "" {
			o.List = ";"
		}
		bound := &boundedReader{r: r}
		rows := csv.NewReader(bound)
		rows.FieldsPerRecord = -1
		rows.ReuseRecord = true
		if o.Comma != 0 {
			rows.Comma = o.Comma
		}
		bound.left = MaxLine
		names, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			yield(nil, fmt.Errorf("read the names of %s: %w", file, err))
			return
		}
		names = slices.Clone(names)
		names[0] = strings.TrimPrefix(names[0], bom)
		if err := notUTF8("the row of names", []byte(strings.Join(names, ","))); err != nil {
			yield(nil, err)
			return
		}
		columns, err := o.columns(names)
		if err != nil {
			yield(nil, err)
			return
		}
		for {
			bound.left = MaxLine
			row, err := rows.Read()
			var wrong *csv.ParseError
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.As(err, &wrong) && !errors.Is(err, errLineTooLong):
				if !yield(bad(file, wrong.StartLine, "", memory.Invalid("csv_invalid", "", "%v", err)), nil) {
					return
				}
				continue
			case err != nil:
				yield(nil, fmt.Errorf("read %s: %w", file, err))
				return
			}
			line, _ := rows.FieldPos(0)
			if !yield(o.item(file, line, columns, names, row), nil) {
				return
			}
		}
	}
}

// hasText refuses a file of which each row would be refused, as nothing goes into
// the text.
func (o *CSVOptions) hasText(names []string) error {
	if o.Map["text"] != "" || o.Map == nil && slices.Contains(names, "text") {
		return nil
	}
	if o.Map != nil && slices.Contains(names, "text") {
		return memory.Invalid("column_unknown", "text", "no column goes into the text: with --map, columns that it does not name are left out").
			Hinted("--map text=text as well; the columns are %s", listed(names))
	}
	return memory.Invalid("column_unknown", "text", "no column is called text").
		Hinted("say which it is: --map text=COLUMN; the columns are %s", listed(names))
}

// listed is a list of names for people; a file may have thousands.
func listed(names []string) string {
	const most = 20
	out := fmt.Sprintf("%.64q", names[:min(len(names), most)])
	if out = out[1 : len(out)-1]; len(names) > most {
		out += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return out
}

// columns says where each column goes.
func (o *CSVOptions) columns(names []string) ([]column, error) {
	out := make([]column, len(names))
	if o.Map == nil {
		for i, name := range names {
			if out[i].set = csvFields[name]; out[i].set == nil {
				out[i].key = name
			}
		}
		return out, o.hasText(names)
	}
	for _, field := range slices.Sorted(maps.Keys(o.Map)) {
		name := o.Map[field]
		if field == "metadata" && name == "*" {
			continue
		}
		i := slices.Index(names, name)
		if i < 0 {
			return nil, memory.Invalid("column_unknown", field, "there is no column %.64q for %s", name, field).
				Hinted("%s", wirejson.DidYouMean(name, names))
		}
		if key, ok := strings.CutPrefix(field, "metadata."); ok && key != "" {
			out[i].key = key
			continue
		}
		if out[i].set = csvFields[field]; out[i].set == nil {
			return nil, memory.Invalid("field_unknown", field, "%.64q is not a field that a column can go into", field).
				Hinted("%s; or metadata.NAME", wirejson.DidYouMean(field, slices.Sorted(maps.Keys(csvFields))))
		}
	}
	if o.Map["metadata"] == "*" {
		for i := range out {
			if out[i].set == nil && out[i].key == "" {
				out[i].key = names[i]
			}
		}
	}
	return out, o.hasText(names)
}

func (o *CSVOptions) item(file string, line int, columns []column, names, row []string) *Item {
	i := &Item{File: file, Line: line, Memory: &engramv1.MemoryInput{}}
	if len(row) != len(names) {
		return bad(file, line, strings.Join(row, ","), memory.Invalid("csv_invalid", "", "the row has %d values; the file has %d columns", len(row), len(names)))
	}
	for n, c := range columns {
		v := row[n]
		if !utf8.ValidString(v) {
			return bad(file, line, strings.Join(row, ","), notUTF8(fmt.Sprintf("the column %.64q", names[n]), []byte(v)))
		}
		i.size += len(v)
		if v == "" {
			continue
		}
		var err error
		switch {
		case c.set != nil:
			err = c.set(i.Memory, v, o.List)
		case c.key != "":
			if i.Memory.Metadata == nil {
				i.Memory.Metadata = &structpb.Struct{Fields: map[string]*structpb.Value{}}
			}
			i.Memory.Metadata.Fields[c.key] = looseValue(v)
		}
		if err != nil {
			return bad(file, line, strings.Join(row, ","), err)
		}
	}
	return i
}

// looseValue is a number or a truth when it is written as one that comes back
// the same, so that 007 stays a text; else text.
func looseValue(s string) *structpb.Value {
	switch s {
	case "true":
		return structpb.NewBoolValue(true)
	case "false":
		return structpb.NewBoolValue(false)
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && strconv.FormatFloat(x, 'f', -1, 64) == s {
		return structpb.NewNumberValue(x)
	}
	return structpb.NewStringValue(s)
}

// A boundedReader ends with an error when more than left is read before left is
// set again.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLineTooLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}
