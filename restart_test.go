package engram_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// TestPowerCutAfterPowerCut: the power goes again while the database has hardly
// come up. Pebble has removed the log of the first life by then, and a power cut
// brings a removed file back as long as its directory is not synced.
func TestPowerCutAfterPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	open := func() *engram.DB {
		db, err := engram.Open(context.Background(), "data", engram.Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
		check(t, err)
		return db
	}
	for _, text := range []string{"first", "second", "third"} {
		db := open()
		s, err := db.Space(engram.DefaultSpace)
		check(t, err)
		remember(t, s, memory.Episode{ID: memory.ID(text), Text: text})
		after := fs.CrashClone(vfs.CrashCloneCfg{})
		check(t, db.Close())
		fs = after
	}
	db := open()
	s, err := db.Space(engram.DefaultSpace)
	check(t, err)
	for _, id := range []memory.ID{"first", "second", "third"} {
		if got := recalled(t, s, memory.Cue{Text: string(id)}); len(got) != 1 || got[0] != id {
			t.Errorf("%s: got %v", id, got)
		}
	}
	check(t, db.Close())
}

// words collects what a database tells its operator.
type words struct {
	mu  sync.Mutex
	all []string
}

func (w *words) Enabled(context.Context, slog.Level) bool { return true }
func (w *words) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *words) WithGroup(string) slog.Handler            { return w }
func (w *words) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	w.all = append(w.all, line)
	return nil
}

// built says whether indexes were built from the state since the last asking.
func (w *words) built() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	yes := slices.ContainsFunc(w.all, func(l string) bool { return strings.Contains(l, "built from the state") })
	w.all = nil
	return yes
}

// library is a space that is large enough for a snapshot, and what it answers.
type library struct {
	fs    *vfs.MemFS
	log   words
	db    *engram.DB
	space *engram.Space
	want  string
}

// manyMemories are enough changes for a snapshot when a tower closes.
const manyMemories = 2100

func newLibrary(t *testing.T) *library {
	l := &library{fs: vfs.NewCrashableMem()}
	l.open(t)
	s := spaceOf(t, l.db, "lib", 2)
	for from := 0; from < manyMemories; from += 700 {
		es := make([]memory.Episode, 700)
		for i := range es {
			n := from + i
			es[i] = memory.Episode{ID: memory.ID(fmt.Sprint("m", n)), Text: fmt.Sprintf("page %d of a library, shelf%d", n, n%50), Vector: []float32{1, float32(n)},
				Tags: []string{fmt.Sprint("t", n%7)}, Happened: memory.At(time.Date(2026, 1, 1+n%28, 0, 0, 0, 0, time.UTC)), Metadata: memory.Metadata{"n": n}}
		}
		_, err := s.RememberBatch(context.Background(), es, false, engram.WriteOptions{})
		check(t, err)
	}
	l.space = s
	l.want = l.picture(t)
	return l
}

func (l *library) open(t *testing.T) {
	t.Helper()
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: l.fs, Logger: slog.New(&l.log), Fatal: func(err error) { t.Error(err) }})
	check(t, err)
	l.db = db
	l.space, _ = db.Space("lib")
}

func (l *library) restart(t *testing.T) {
	t.Helper()
	check(t, l.db.Close())
	l.log.built()
	l.open(t)
}

// picture is what the space answers: with scores, in order.
func (l *library) picture(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, c := range []memory.Cue{{Text: "shelf7 library"}, {Vector: []float32{1, 70}}, {Text: "shelf7", Vector: []float32{2, 70}},
		{Filter: memory.Filter{Tags: []string{"t3"}, Metadata: map[string]memory.Condition{"n": {LT: 99}}}}, {IDs: []memory.ID{"m5"}}} {
		c.Limit = 20
		r, err := l.space.Recall(context.Background(), c)
		check(t, err)
		for _, x := range r.Results {
			fmt.Fprintf(&b, "%s v%d %.6f\n", x.Memory.ID, x.Memory.Version, x.Score)
		}
	}
	p, err := l.space.List(context.Background(), engram.ListQuery{Order: engram.ListHappened})
	check(t, err)
	i, err := l.space.Info(context.Background())
	check(t, err)
	fmt.Fprintf(&b, "%v %+v", idsOf(p.Memories), i.Counts)
	return b.String()
}

func (l *library) same(t *testing.T, when string) {
	t.Helper()
	if got := l.picture(t); got != l.want {
		t.Fatalf("%s: got\n%s\nwant\n%s", when, got, l.want)
	}
}

func (l *library) snapshots(t *testing.T) []string {
	t.Helper()
	names, err := l.fs.List("data/index")
	check(t, err)
	return names
}

func (l *library) read(t *testing.T, path string) []byte {
	t.Helper()
	f, err := l.fs.Open(path)
	check(t, err)
	b, err := io.ReadAll(f)
	check(t, err)
	check(t, f.Close())
	return b
}

func (l *library) write(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := l.fs.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = f.Write(b)
	check(t, err)
	check(t, f.Close())
}

// TestSnapshot: indexes that were saved at Close are loaded at the next use, and
// the journal after them is followed; what is wrong with a file costs time and
// no answer.
func TestSnapshot(t *testing.T) {
	l := newLibrary(t)
	defer func() { check(t, l.db.Close()) }()
	l.restart(t)
	names := l.snapshots(t)
	if len(names) != 1 {
		t.Fatalf("snapshots after Close: %v", names)
	}
	l.same(t, "loaded")
	if l.log.built() {
		t.Error("the snapshot was not used")
	}

	// Stale: more was written since, of every kind.
	ctx := context.Background()
	saved := l.read(t, "data/index/"+names[0])
	remember(t, l.space, memory.Episode{ID: "late", Text: "a late page on shelf7", Vector: []float32{1, 70}, Tags: []string{"t3"}})
	_, err := l.space.Update(ctx, "m7", func(e *memory.Episode) error { e.Text = "moved to shelf8"; return nil }, engram.WriteOptions{})
	check(t, err)
	_, err = l.space.Delete(ctx, "m57", memory.Delete, 0, engram.WriteOptions{})
	check(t, err)
	_, err = l.space.Delete(ctx, "m107", memory.Suppress, 0, engram.WriteOptions{})
	check(t, err)
	l.want = l.picture(t)
	l.restart(t)
	l.same(t, "stale")
	if l.log.built() {
		t.Error("the journal behind the snapshot was not followed")
	}

	// Damaged anywhere, or cut short anywhere: built anew.
	check(t, l.db.Close())
	places := rounds(40)
	for i := range places {
		path := "data/index/" + l.snapshots(t)[0]
		bad := slices.Clone(saved)
		at := (len(bad) - 1) * i / (places - 1)
		if i%2 == 0 {
			bad[at] ^= 1 << (i % 8)
		} else {
			bad = bad[:at]
		}
		l.write(t, path, bad)
		l.log.built()
		l.open(t)
		l.same(t, fmt.Sprintf("damaged at %d of %d", at, len(saved)))
		if !l.log.built() {
			t.Errorf("a snapshot that is damaged at %d was used", at)
		}
		check(t, l.db.Close())
		if t.Failed() {
			break
		}
	}

	// Ahead of the journal, as after the store alone was put back.
	l.write(t, "data/index/"+l.snapshots(t)[0], saved)
	check(t, l.fs.Rename("data/index/"+l.snapshots(t)[0], "data/index/1.00000000000000099999"))
	l.open(t)
	l.same(t, "ahead")
	l.restart(t)
	l.same(t, "and saved again")
}

// TestSnapshotOfAnotherSpace: a file of another space, or of another language,
// is not taken for one's own.
func TestSnapshotOfAnotherSpace(t *testing.T) {
	l := newLibrary(t)
	ctx := context.Background()
	_, _, err := l.db.CreateSpace(ctx, "de", memory.Settings{Language: "de", Vector: memory.VectorSettings{Dimension: 2}})
	check(t, err)
	de, err := l.db.Space("de")
	check(t, err)
	remember(t, de, memory.Episode{ID: "haus", Text: "die Häuser am See"})
	info, err := l.space.Info(ctx)
	check(t, err)
	deInfo, err := de.Info(ctx)
	check(t, err)
	check(t, l.db.Close())
	name := l.snapshots(t)[0]
	b := l.read(t, "data/index/"+name)
	// The head is made to fit, so that only what follows tells the two apart.
	binary.LittleEndian.PutUint32(b[8:], uint32(deInfo.ID))
	binary.LittleEndian.PutUint64(b[12:], 1)
	n := int(binary.LittleEndian.Uint32(b[36:]))
	size := 40 + 4*n + (n+7)/8
	binary.LittleEndian.PutUint32(b[size:], crc32.Checksum(b[:size], crc32.MakeTable(crc32.Castagnoli)))
	forged := fmt.Sprintf("data/index/%d.%020d", deInfo.ID, 1)
	l.write(t, forged, b)
	l.log.built()
	l.open(t)
	de, err = l.db.Space("de")
	check(t, err)
	if got := recalled(t, de, memory.Cue{Text: "Haus"}); !slices.Equal(got, []memory.ID{"haus"}) || !l.log.built() {
		t.Errorf("with the words of another language: %v", got)
	}
	l.same(t, fmt.Sprintf("beside the forged one of space %d", info.ID))
	check(t, l.db.Close())
}

// TestSnapshotOfVersion2: one that was written before passages had a file is still used.
func TestSnapshotOfVersion2(t *testing.T) {
	l := newLibrary(t)
	check(t, l.db.Close())
	path := "data/index/" + l.snapshots(t)[0]
	b := l.read(t, path)
	n := int(binary.LittleEndian.Uint32(b[36:]))
	head := slices.Concat(b[:7], []byte{2}, b[8:28], b[36:40+4*n])
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, crc32.MakeTable(crc32.Castagnoli)))
	l.write(t, path, slices.Concat(head, b[40+4*n+(n+7)/8+4:]))
	l.log.built()
	l.open(t)
	defer func() { check(t, l.db.Close()) }()
	l.same(t, "of version 2")
	if l.log.built() {
		t.Error("it was not used")
	}
}

// TestManySpaces: no more spaces have their indexes in memory than the bound
// says, idle ones close, and all open again by themselves.
func TestManySpaces(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	db := openWith(t, vfs.NewMem(), engram.Options{MaxOpenSpaces: 3, IdleClose: time.Minute, Clock: c})
	var spaces []*engram.Space
	for i := range 12 {
		spaces = append(spaces, spaceOf(t, db, memory.SpaceName(fmt.Sprint("s", i)), 2))
	}
	together(4, func(k int) {
		for i := range rounds(60) {
			n := (i*5 + k) % len(spaces)
			id := memory.ID(fmt.Sprintf("k%di%d", k, i))
			text := fmt.Sprintf("uniq%dx%d space%d", k, i, n)
			_, err := spaces[n].Remember(ctx, memory.Episode{ID: id, Text: text, Vector: []float32{1, 1}}, engram.WriteOptions{})
			r, err2 := spaces[n].Recall(ctx, memory.Cue{Text: fmt.Sprintf("uniq%dx%d", k, i)})
			if err != nil || err2 != nil || len(r.Results) != 1 || r.Results[0].Memory.Text != text {
				t.Errorf("%s: %+v %v %v", text, r.Results, err, err2)
			}
		}
	})
	recalled(t, spaces[0], memory.Cue{Text: "x"})
	if st := db.Stats(); st.OpenSpaces > st.OpenBound || st.OpenSpaces == 0 {
		t.Errorf("%d spaces are open, the bound is %d", st.OpenSpaces, st.OpenBound)
	}
	eventually(t, "idle spaces close", func() bool { c.Advance(time.Minute); return db.Stats().OpenSpaces == 0 })
	for n, s := range spaces {
		p, err := s.List(ctx, engram.ListQuery{PageSize: 1000})
		check(t, err)
		if got := recalled(t, s, memory.Cue{Text: fmt.Sprint("space", n), Limit: 1000}); len(got) == 0 || len(got) != len(p.Memories) {
			t.Errorf("space %d: recalls %d of %d", n, len(got), len(p.Memories))
		}
	}
}

// TestOpenerGivesUp: a caller that opens a space and goes away does not fail the
// others that wait for it.
func TestOpenerGivesUp(t *testing.T) {
	l := newLibrary(t)
	defer func() { check(t, l.db.Close()) }()
	for range 5 {
		check(t, l.db.Close())
		for _, n := range l.snapshots(t) {
			check(t, l.fs.Remove("data/index/"+n)) // so that opening takes a while
		}
		l.open(t)
		hurried, cancel := context.WithCancel(context.Background())
		var g sync.WaitGroup
		for k := range 6 {
			g.Go(func() {
				ctx := context.Background()
				if k%2 == 0 {
					ctx = hurried
				}
				r, err := l.space.Recall(ctx, memory.Cue{Text: "shelf7"})
				if k%2 == 1 && (err != nil || len(r.Results) != 10) {
					t.Errorf("a patient caller got %d, %v", len(r.Results), err)
				}
				if k%2 == 0 && err != nil && codeOf(err) != "cancelled" {
					t.Errorf("a hurried caller got %v", err)
				}
			})
		}
		cancel()
		g.Wait()
	}
}

// TestDropWhileWriting: a space goes while it is written to and read. Every call
// is answered; what comes after the drop is refused; the name begins anew.
func TestDropWhileWriting(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{})
	for life := range 5 {
		s := spaceOf(t, db, "s", 2)
		i, err := s.Info(ctx)
		check(t, err)
		if i.Counts.Episodes != 0 || i.LSN != 0 {
			t.Fatalf("life %d begins with %+v", life, i)
		}
		var g sync.WaitGroup
		started := make(chan struct{}, 100)
		for k := range 6 {
			g.Go(func() {
				for n := 0; ; n++ {
					var err error
					switch id := memory.ID(fmt.Sprintf("k%dn%d", k, n)); k {
					case 0:
						_, err = s.Recall(ctx, memory.Cue{Text: "word"})
					case 1:
						_, err = s.List(ctx, engram.ListQuery{})
					case 2:
						_, err = s.RememberBatch(ctx, []memory.Episode{{ID: id, Text: "word"}, {Text: "word"}}, false, engram.WriteOptions{})
					default:
						_, err = s.Remember(ctx, memory.Episode{ID: id, Text: "word", Vector: []float32{1, 2}}, engram.WriteOptions{})
					}
					select {
					case started <- struct{}{}:
					default:
					}
					if err != nil {
						if codeOf(err) != "space_not_found" {
							t.Errorf("goroutine %d: %v", k, err)
						}
						return
					}
				}
			})
		}
		for range 20 {
			<-started
		}
		j, err := db.DropSpace(ctx, "s")
		check(t, err)
		_, err = db.Space("s")
		mustCode(t, err, "space_not_found")
		g.Wait()
		if life%2 == 0 { // else the next life begins before the last is off the disk
			eventually(t, "the job ends", func() bool { j, err = db.Job(j.ID); check(t, err); return j.State != engram.JobRunning })
			if j.State != engram.JobDone {
				t.Errorf("%+v", j)
			}
		}
	}
}

// TestCreateTogether: of several calls that make one space, one makes it and all
// can use it; settings that are changed together end as the last record says.
func TestCreateTogether(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{})
	for i := range rounds(40) {
		name := memory.SpaceName(fmt.Sprint("s", i))
		var made atomic.Int32
		together(6, func(k int) {
			_, created, err := db.CreateSpace(ctx, name, memory.Settings{})
			if err != nil {
				t.Error(err)
			}
			if created {
				made.Add(1)
			}
		})
		together(6, func(k int) {
			_, err := db.UpdateSpace(ctx, name, 0, func(s *memory.Settings) error { s.Horizon = time.Duration(k+1) * time.Hour; return nil })
			if err != nil {
				t.Error(err)
			}
		})
		if made.Load() != 1 {
			t.Errorf("%s was made %d times", name, made.Load())
		}
	}
	before, err := db.Spaces(ctx, "", 1000)
	check(t, err)
	check(t, db.Close())
	db = openWith(t, fs, engram.Options{})
	after, err := db.Spaces(ctx, "", 1000)
	check(t, err)
	for i := range before {
		if !before[i].Settings.Same(after[i].Settings) || before[i].Version != after[i].Version {
			t.Errorf("%s: %+v in memory, %+v on disk", before[i].Name, before[i].Settings, after[i].Settings)
		}
	}
}
