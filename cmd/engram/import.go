package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/engramdb/engram/server"
	"github.com/engramdb/engram/server/wirejson"
	"github.com/engramdb/engram/transfer"
)

// importFlags say what is read and how it is written.
type importFlags struct {
	format, conflict, durability, rejected, list string
	columns                                      map[string]string
	passage                                      int
	workers                                      int
	dryRun, afresh                               bool
}

// importFormats are the words of --format.
var importFormats = []string{"jsonl", "csv", "tsv", "text", "markdown", "chat", "locomo"}

func importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE|FOLDER|-",
		Short: "Store what is in a file: JSONL, CSV, texts, chats, LoCoMo",
		Long: `Store what is in a file, a folder of texts, or stdin.

The format goes by the end of the name, and can be said with --format: jsonl (one memory a line,
and what engram export writes), csv and tsv (a row of names first; --map says what goes where), text
and markdown (split into passages; the file is their stream), chat ([{"role", "content", "time"}]),
locomo. A folder has its .txt and .md files, and those of the folders in it; links are left out.

The same file again stores nothing twice, nor does the rest of it after a kill: what has no id gets
one that is made of its file's name, place and content. FILE.import.json notes how far it is and is
gone at the end. What is refused stands in FILE.rejected.jsonl with its line and the reason, the
others are stored, and the status is 1.`,
		Example: `  engram import notes.jsonl
  engram import films.csv --map text=plot,title=name,happened_at=released,metadata.stars=rating
  engram import ~/notes --dry-run
  engram export --space notes | engram import - --space copy`,
		Args: takes(1, 1, "FILE"),
	}
	client(c, feeds, func(ctx context.Context, s *session, args []string) error { return f.run(ctx, s, args[0]) })
	fs := c.Flags()
	oneOf(c, &f.format, "format", "", "what the file is (default by the end of its name)", importFormats...)
	fs.StringToStringVar(&f.columns, "map", nil, "of CSV: FIELD=COLUMN, the field text, title, id, happened_at, people, tags, stream, source, place, lat, lon, salience, metadata.NAME or metadata=* (default: by name, the others into metadata)")
	fs.StringVar(&f.list, "list-separator", ";", "of CSV: what parts several people or tags")
	fs.IntVar(&f.passage, "passage", 1000, "of texts: most bytes of a passage")
	oneOf(c, &f.conflict, "on-conflict", "error", "when an id stands with other content", "error", "keep", "replace")
	oneOf(c, &f.durability, "durability", "", "when a batch is acknowledged (default the space's)", "disk", "process")
	fs.StringVar(&f.rejected, "rejected", "", "file for what is refused (default FILE.rejected.jsonl)")
	fs.IntVar(&f.workers, "workers", 4, "batches that are written at the same time")
	fs.BoolVar(&f.dryRun, "dry-run", false, "read and check, store nothing")
	fs.BoolVar(&f.afresh, "from-start", false, "do not go on where an import that was broken off ended")
	return c
}

func (f *importFlags) run(ctx context.Context, s *session, name string) error {
	if err := f.check(name); err != nil {
		return err
	}
	in, err := f.open(s, name)
	if err != nil {
		return err
	}
	defer in.close()
	j := &importJob{f: f, s: s, in: in, note: importNote{File: in.name, Space: s.space, Bytes: in.bytes, Format: in.format, Map: f.columns, Passage: f.passage}}
	j.bar = newBar(s.errs, in.bytes)
	if err := j.resume(); err != nil {
		return err
	}
	o := transfer.ImportOptions{
		Space: s.space, OnConflict: f.conflict, Durability: f.durability, Workers: f.workers, DryRun: f.dryRun,
		Skip: j.note.Done, Check: server.CheckMemory, Rejected: j.reject, Moved: j.moved,
	}
	t, err := transfer.Import(ctx, s, in.items, o)
	j.bar.end()
	return j.end(ctx, t, err)
}

// check refuses flags that would be found wrong in the middle of the work, or would
// cost the file that is read.
func (f *importFlags) check(name string) error {
	switch {
	case f.format != "" && !slices.Contains(importFormats, f.format):
		return usage("--format is %q; it can be %s", f.format, strings.Join(importFormats, ", ")).hinted("%s", wirejson.DidYouMean(f.format, importFormats))
	case f.passage < 1:
		return usage("--passage is %d; it is a number of bytes, at least 1", f.passage)
	case f.workers < 1:
		return usage("--workers is %d; it is at least 1", f.workers)
	case f.rejected == "" || f.dryRun:
		return nil
	}
	if info, err := os.Stat(f.rejected); err == nil {
		if in, err := os.Stat(name); err == nil && os.SameFile(info, in) {
			return usage("--rejected is %s, which is the file that is read", f.rejected).hinted("what is refused goes to a file of its own")
		}
	}
	if dir, err := os.Stat(filepath.Dir(f.rejected)); err != nil || !dir.IsDir() {
		return usage("--rejected is %s, and there is no folder %s", f.rejected, filepath.Dir(f.rejected))
	}
	return nil
}

// An importInput is what is read.
type importInput struct {
	path   string // "" for stdin
	name   string // that its things are called by
	format string
	items  transfer.Items
	bytes  int64        // 0: not known
	read   atomic.Int64 // bytes so far
	close  func()
}

// open finds the format and makes the walk.
func (f *importFlags) open(s *session, name string) (*importInput, error) {
	in := &importInput{path: name, name: filepath.Base(filepath.Clean(name)), format: f.format, close: func() {}}
	if name == "-" {
		in.path, in.name = "", "stdin"
		if in.format == "" {
			in.format = "jsonl"
		}
		return in, f.walk(in, in.counted(s.in))
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, notReadable(name, err)
	}
	if info.IsDir() {
		return in, f.openFolder(in)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, notReadable(name, err)
	}
	in.bytes, in.close = info.Size(), func() { _ = file.Close() } // it was only read
	if in.format == "" {
		if in.format, err = formatOf(name, file); err != nil {
			in.close()
			return nil, err
		}
	}
	return in, f.walk(in, in.counted(file))
}

func notReadable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return failed(exitNotFound, "there is no file %s", name)
	}
	return failed(exitFailed, "%v", err)
}

// openFolder counts the texts of a folder, and walks over them.
func (f *importFlags) openFolder(in *importInput) error {
	if f.format != "" && f.format != "text" && f.format != "markdown" {
		return usage("%s is a folder, which has texts; --format %s is of a file", in.path, f.format)
	}
	in.format = "text"
	files := 0
	dir := os.DirFS(in.path)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !transfer.IsProse(name) || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		files++
		info, err := d.Info()
		if err == nil {
			in.bytes += info.Size()
		}
		return err
	})
	if err == nil && files == 0 {
		return failed(exitNotFound, "%s has no .txt or .md files", in.path).hinted("other files are named one by one: engram import FILE")
	}
	in.items = transfer.Folder(dir, f.prose(), func(file fs.File) io.Reader { return in.counted(file) })
	return err
}

func (f *importFlags) prose() transfer.ProseOptions {
	var o transfer.ProseOptions
	o.MaxBytes = f.passage
	return o
}

// walk chooses the reader of a format.
func (f *importFlags) walk(in *importInput, r io.Reader) error {
	if f.columns != nil && in.format != "csv" && in.format != "tsv" {
		return usage("--map is of CSV; %s is %s", in.name, in.format)
	}
	csv := transfer.CSVOptions{Map: f.columns, List: f.list}
	switch in.format {
	case "jsonl":
		in.items = transfer.JSONL(in.name, r)
	case "csv":
		in.items = transfer.CSV(in.name, r, csv)
	case "tsv":
		csv.Comma = '\t'
		in.items = transfer.CSV(in.name, r, csv)
	case "markdown":
		in.items = transfer.Markdown(in.name, r, f.prose())
	case "text":
		in.items = transfer.Text(in.name, r, f.prose())
	case "chat":
		in.items = transfer.Chat(in.name, r)
	case "locomo":
		in.items = transfer.Locomo(in.name, r)
	}
	return nil
}

// formatEnds says what a file is by the end of its name.
var formatEnds = map[string]string{".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".md": "markdown", ".markdown": "markdown", ".txt": "text", ".text": "text"}

// packedEnds are names of files that have to be unpacked first.
var packedEnds = []string{".gz", ".zst", ".zip", ".bz2", ".xz"}

// formatOf finds the format of a file. Of JSON the first bytes are looked at.
func formatOf(name string, file *os.File) (string, error) {
	ext := strings.ToLower(filepath.Ext(name))
	if format := formatEnds[ext]; format != "" {
		return format, nil
	}
	if ext == ".json" {
		head := make([]byte, 4096)
		n, _ := file.ReadAt(head, 0) // a shorter file is no error
		switch head = head[:n]; {
		case bytes.Contains(head, []byte(`"dia_id"`)), bytes.Contains(head, []byte(`"qa"`)), bytes.Contains(head, []byte(`"sample_id"`)):
			return "locomo", nil
		case bytes.Contains(head, []byte(`"content"`)), bytes.Contains(head, []byte(`"messages"`)):
			return "chat", nil
		}
	}
	refused := usage("the name %s does not say what the file is", name)
	if slices.Contains(packedEnds, ext) {
		return "", refused.hinted("unpack it and give it to: engram import --format FORMAT -")
	}
	return "", refused.hinted("say --format %s", strings.Join(importFormats, ", "))
}

// counted counts what is read.
func (in *importInput) counted(r io.Reader) io.Reader { return &countingReader{r, &in.read} }

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// An importNote is what stands beside a file while it is imported. It only saves
// time: without it, or with an old one, the ids keep everything from coming in
// twice.
type importNote struct {
	File    string            `json:"file"`
	Space   string            `json:"space"`
	Bytes   int64             `json:"bytes"`
	Format  string            `json:"format"`
	Map     map[string]string `json:"map,omitempty"`
	Passage int               `json:"passage"`
	Done    int64             `json:"done"` // items from the start, without a hole
}

func (n *importNote) same(o *importNote) bool {
	a, b := *n, *o
	a.Done, b.Done = 0, 0
	x, _ := json.Marshal(a) // plain values
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// An importJob is one import that runs. What transfer.Import calls of it comes
// one call at a time.
type importJob struct {
	f     *importFlags
	s     *session
	in    *importInput
	bar   *bar
	note  importNote
	noted time.Time

	rejects     *bufio.Writer
	rejectsFile *os.File
	shown       int   // dry run: things that were shown
	done        int64 // as moved was told last
	before      int64 // items that an earlier import has done
}

// How often the note is written: after so much time or so many items.
const (
	noteEvery = 500 * time.Millisecond
	noteItems = 1000
)

// notePath is where the note stands; "" for stdin, which can not be read again.
func (j *importJob) notePath() string {
	if j.in.path == "" || j.f.dryRun {
		return ""
	}
	return filepath.Clean(j.in.path) + ".import.json"
}

func (j *importJob) rejectedPath() string {
	switch {
	case j.f.rejected != "":
		return j.f.rejected
	case j.in.path == "":
		return "stdin.rejected.jsonl"
	}
	return filepath.Clean(j.in.path) + ".rejected.jsonl"
}

// resume reads the note of an import that was broken off. What was rejected
// behind its place will be rejected again: that is taken out of the side file.
func (j *importJob) resume() error {
	p := j.notePath()
	if p == "" || j.f.afresh {
		return nil
	}
	body, err := os.ReadFile(p)
	var old importNote
	if err != nil || json.Unmarshal(body, &old) != nil || !old.same(&j.note) || old.Done == 0 {
		return nil
	}
	j.note.Done, j.done, j.before = old.Done, old.Done, old.Done
	if !j.s.json {
		_, _ = fmt.Fprintf(j.s.errs, "going on behind item %d, where an earlier import ended (--from-start begins again)\n", old.Done)
	}
	return j.keepRejects(old.Done)
}

// keepRejects keeps the rejections up to an item.
func (j *importJob) keepRejects(done int64) error {
	body, err := os.ReadFile(j.rejectedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var keep []byte
	for line := range bytes.Lines(body) {
		var r struct {
			Item int64 `json:"item"`
		}
		if json.Unmarshal(line, &r) == nil && r.Item <= done {
			keep = append(keep, line...)
		}
	}
	// The others are on disk again before the file is touched: an import that is killed
	// before its first note must not have lost what its predecessor told.
	p := j.rejectedPath()
	if err := errors.Join(os.WriteFile(p+".tmp", keep, 0o666), os.Rename(p+".tmp", p)); err != nil {
		return notWritable(err)
	}
	return j.openRejects(os.O_APPEND)
}

func notWritable(err error) error {
	return failed(exitFailed, "what is refused can not be written: %v", err).hinted("name another file with --rejected")
}

// openRejects opens the side file: emptied, as it is of this import (os.O_TRUNC), or
// behind what an earlier part of it has told (os.O_APPEND).
func (j *importJob) openRejects(how int) (err error) {
	if j.rejects == nil {
		if j.rejectsFile, err = os.OpenFile(j.rejectedPath(), os.O_WRONLY|os.O_CREATE|how, 0o666); err != nil {
			return notWritable(err)
		}
		j.rejects = bufio.NewWriter(j.rejectsFile)
	}
	return nil
}

// A rejectedLine is a line of the side file.
type rejectedLine struct {
	Item  int64           `json:"item"` // its place in the walk
	File  string          `json:"file"`
	Line  int             `json:"line"`
	Code  string          `json:"code"`
	Field string          `json:"field,omitempty"`
	Why   string          `json:"reason"`
	Hint  string          `json:"hint,omitempty"`
	Input json.RawMessage `json:"input,omitempty"` // as it would have been stored
	Raw   string          `json:"raw,omitempty"`   // as it was read, when it could not be
}

func (j *importJob) reject(r *transfer.Rejection) error {
	i := r.Item
	l := rejectedLine{Item: r.Number, File: i.File, Line: i.Line, Code: r.Reason.Code, Field: r.Reason.Field, Why: r.Reason.Message, Hint: r.Reason.Hint, Raw: i.Raw}
	switch {
	case i.Memory != nil:
		l.Input = wirejson.Append(nil, i.Memory)
	case i.Link != nil:
		l.Input = wirejson.Append(nil, i.Link)
	case i.Entity != nil:
		l.Input = wirejson.Append(nil, i.Entity)
	}
	if j.f.dryRun {
		return j.show(&l)
	}
	if err := j.openRejects(os.O_TRUNC); err != nil {
		return err
	}
	line, err := json.Marshal(l)
	if err == nil {
		_, err = j.rejects.Write(append(line, '\n'))
	}
	return err
}

// shownMost is how many refusals a dry run prints.
const shownMost = 20

func (j *importJob) show(l *rejectedLine) error {
	if j.shown++; j.shown > shownMost {
		return nil
	}
	j.bar.clear()
	why := l.Why
	if l.Hint != "" {
		why += " (" + l.Hint + ")"
	}
	_, err := fmt.Fprintf(j.s.errs, "%s:%d: %s\n", oneLine(l.File), l.Line, oneLine(why))
	return err
}

// moved draws the bar and writes the note, now and then. Rejections are on disk
// before the note says that their items are done.
func (j *importJob) moved(t transfer.Tally, done int64) error {
	j.bar.draw(j.in.read.Load(), t.Read)
	j.done = done
	p := j.notePath()
	if p == "" || done == 0 || time.Since(j.noted) < noteEvery && done < j.note.Done+noteItems {
		return nil
	}
	j.noted, j.note.Done = time.Now(), done
	return j.write(p)
}

func (j *importJob) write(p string) error {
	if j.rejects != nil {
		if err := j.rejects.Flush(); err != nil {
			return err
		}
	}
	body, err := json.Marshal(j.note)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p+".tmp", append(body, '\n'), 0o666); err != nil {
		return failed(exitFailed, "how far the import is can not be noted: %v", err)
	}
	return os.Rename(p+".tmp", p)
}

// end closes the files and says what became of it all.
func (j *importJob) end(ctx context.Context, t transfer.Tally, err error) error {
	if j.rejects != nil {
		err = errors.Join(err, j.rejects.Flush(), j.rejectsFile.Close())
	}
	switch p := j.notePath(); {
	case p == "":
	case err != nil && j.done > 0:
		j.note.Done = j.done
		err = errors.Join(err, j.write(p)) // so that the next one goes on here
	case err == nil:
		if e := os.Remove(p); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	if err != nil {
		return j.stopped(ctx, t, err)
	}
	for _, w := range t.Warnings {
		_, _ = fmt.Fprintln(j.s.errs, "warning: "+w)
	}
	if err := j.say(t); err != nil {
		return err
	}
	switch {
	case t.Rejected == 0:
		return nil
	case j.f.dryRun:
		return failed(exitFailed, "%d of %d items would be refused", t.Rejected, t.Read)
	}
	return failed(exitFailed, "%d of %d items were refused", t.Rejected, t.Read).hinted("see %s", j.rejectedPath())
}

// stopped is an import that did not come to its end.
func (j *importJob) stopped(ctx context.Context, t transfer.Tally, err error) error {
	if ctx.Err() != nil {
		err = failed(exitInterrupted, "interrupted")
	}
	f := explain(err)
	if t.Created+t.Replaced+t.Kept > 0 {
		f.message = fmt.Sprintf("%s (behind %d items that are stored)", f.message, t.Created+t.Replaced+t.Kept)
		if f.hint == "" {
			f.hint = "the same command goes on from there; nothing comes in twice"
		}
	}
	return f
}

func (j *importJob) say(t transfer.Tally) error {
	if j.s.json {
		body, err := json.Marshal(t)
		if err == nil {
			_, err = j.s.out.Write(append(body, '\n'))
		}
		return err
	}
	if j.f.dryRun {
		_, err := fmt.Fprintf(j.s.out, "%s would be read, %d refused\n", things(t.Read), t.Rejected)
		return err
	}
	parts := []string{}
	for _, p := range []struct {
		n    int64
		word string
	}{{t.Created, "created"}, {t.Replaced, "replaced"}, {t.Kept, "kept as they stood"}, {t.Rejected, "refused"}, {j.before, "done before"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	_, err := fmt.Fprintf(j.s.out, "%s of %s: %s\n", things(t.Read), j.in.name, strings.Join(slices.Concat(parts, none(parts)), ", "))
	return err
}

func none(parts []string) []string {
	if len(parts) == 0 {
		return []string{"nothing to store"}
	}
	return nil
}

func things(n int64) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprintf("%d items", n)
}
