package engram_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// A shelf is a space with so many long texts that their passages are worth a file. Each
// paragraph is of one word, "w" and its number, which its vector follows from alone.
type shelf struct {
	fs    vfs.FS
	log   *words
	opts  engram.Options
	db    *engram.DB
	space *engram.Space
	books int
}

const shelfBooks, shelfParagraphs = 22, 200

// meaning is the vector of a word: at random, and the same each time; seed tells models
// apart.
func meaning(word string, seed uint64) []float32 {
	var n uint64
	_, _ = fmt.Sscanf(word, "w%d", &n) // 0 for another word
	r := rand.New(rand.NewPCG(n, seed))
	v := make([]float32, fakeDimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// newReader registers a model that reads the word that comes most often.
func newReader(seed uint64) shortSighted {
	m := shortSighted{&fakeModel{name: fmt.Sprintf("fake-%d", fakes.Add(1))}}
	m.answer(func(_ context.Context, texts []string) ([][]float32, error) {
		vectors := make([][]float32, len(texts))
		for i, text := range texts {
			count, most := map[string]int{}, ""
			for _, w := range strings.Fields(text) {
				if count[w]++; count[w] > count[most] {
					most = w
				}
			}
			vectors[i] = meaning(most, seed)
		}
		return vectors, nil
	})
	embed.Register(m.name, func() (embed.Model, error) { return m, nil })
	return m
}

func newShelf(t *testing.T, fs vfs.FS) *shelf {
	t.Helper()
	l := &shelf{fs: fs, log: &words{}}
	l.opts = engram.Options{Logger: slog.New(l.log), DefaultModel: newReader(1).name}
	l.open(t, fs)
	l.write(t, l.space, shelfBooks)
	return l
}

func (l *shelf) open(t *testing.T, fs vfs.FS) {
	t.Helper()
	l.fs = fs
	l.log.built()
	l.db = openWith(t, fs, l.opts)
	l.space = mainSpace(t, l.db)
}

func wordAt(book, paragraph int) string {
	return fmt.Sprintf("w%d", 1000+book*shelfParagraphs+paragraph)
}

func (l *shelf) write(t *testing.T, s *engram.Space, books int) {
	t.Helper()
	for range books {
		paragraphs := make([]string, shelfParagraphs)
		for i := range paragraphs {
			paragraphs[i] = wordAt(l.books, i)
		}
		rememberWaiting(t, s, memory.Episode{ID: memory.ID(fmt.Sprint("book", l.books)), Text: book(paragraphs...)})
		l.books++
	}
}

func (l *shelf) cites(t *testing.T, when string, books ...int) {
	t.Helper()
	for _, b := range books {
		for _, p := range []int{1, 77, shelfParagraphs - 1} {
			cue := memory.Cue{Text: wordAt(b, p), Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}, Limit: 3}
			if id, word := cites(t, l.space, cue); id != memory.ID(fmt.Sprint("book", b)) || word != wordAt(b, p) {
				t.Errorf("%s: by %s %s is first and cites %q", when, wordAt(b, p), id, word)
			}
		}
	}
}

func (l *shelf) files(t *testing.T) (names []string) {
	for _, n := range nearFiles(t, l.fs) {
		if strings.HasSuffix(n, ".passages.near") {
			names = append(names, n)
		}
	}
	slices.Sort(names) // a directory has no order
	return names
}

// complained says whether the log has a line with such words since the database opened.
func (l *shelf) complained(words string) bool {
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	return slices.ContainsFunc(l.log.all, func(line string) bool { return strings.Contains(line, words) })
}

const builtFromStore = "the index of passages is built from the store"

func putFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	check(t, err)
	_, err = f.Write(slices.Clone(b))
	check(t, err)
	check(t, f.Close())
}

// After a clean stop no link of a passage is made again; what came and went since is
// mended; a second space has a file of its own.
func TestPassagesFileAfterCleanStop(t *testing.T) {
	l := newShelf(t, vfs.NewMem())
	_, _, err := l.db.CreateSpace(context.Background(), "other", memory.Settings{Vector: memory.VectorSettings{Model: l.opts.DefaultModel}})
	check(t, err)
	second, err := l.db.Space("other")
	check(t, err)
	theirs := &shelf{books: 40}
	theirs.write(t, second, shelfBooks)
	l.cites(t, "before", 0, 3, shelfBooks-1)
	eventually(t, "all links are made", func() bool { return l.db.Stats().Vectors.Tail == 0 })
	check(t, l.db.Close())
	before := l.files(t)
	if len(before) != 2 {
		t.Fatalf("files of passages: %v", nearFiles(t, l.fs))
	}
	l.open(t, l.fs)
	l.cites(t, "loaded", 0, 3, shelfBooks-1)
	if st := l.db.Stats().Vectors; st.Tail != 0 || st.Linked > 2*shelfBooks*shelfParagraphs/4 || l.complained(builtFromStore) {
		t.Errorf("links are made again: %+v, %v", st, l.log.all)
	}
	second, err = l.db.Space("other")
	check(t, err)
	theirs.space = second
	theirs.cites(t, "the other space", 40, 40+shelfBooks-1)

	// Less than a quarter comes and goes: the file stays.
	l.write(t, l.space, 2)
	for _, id := range []memory.ID{"book3"} {
		_, err := l.space.Delete(context.Background(), id, memory.Delete, 0, engram.WriteOptions{})
		check(t, err)
	}
	_, err = l.space.Update(context.Background(), "book5", func(e *memory.Episode) error { e.Tags = []string{"new"}; return nil }, engram.WriteOptions{})
	check(t, err)
	for _, when := range []string{"mended", "mended again"} {
		check(t, l.db.Close())
		if got := l.files(t); !slices.Equal(got, before) {
			t.Errorf("%s: the file was written again: %v, %v", when, before, got)
		}
		l.open(t, l.fs)
		l.cites(t, when, 0, 5, shelfBooks, shelfBooks+1)
		if l.complained(builtFromStore) {
			t.Errorf("%s: %v", when, l.log.all)
		}
		if id, _ := cites(t, l.space, memory.Cue{Text: wordAt(3, 77), Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}}); id == "book3" {
			t.Errorf("%s: passages of a text that was deleted are found", when)
		}
	}

	// More comes: another file takes its place.
	l.write(t, l.space, shelfBooks/3)
	check(t, l.db.Close())
	if got := l.files(t); len(got) != 2 || slices.Equal(got, before) {
		t.Errorf("the file was not written again: %v, %v", before, got)
	}
	l.open(t, l.fs)
	l.cites(t, "written again", 0, shelfBooks, shelfBooks+5)
	clean(t, l.db)
}

// A file that is damaged, not there, or of another state is not used, and costs no answer.
func TestPassagesFileDamaged(t *testing.T) {
	l := newShelf(t, vfs.NewMem())
	check(t, l.db.Close())
	path := l.files(t)[0]
	whole := readAll(t, l.fs, path)
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": {}, "head": damagedAt(whole, 20), "links": damagedAt(whole, 5000),
		"vectors of texts": readAll(t, l.fs, path[:strings.Index(path, ".passages")]), "gone": nil} {
		check(t, l.fs.Remove(path))
		if b != nil {
			putFile(t, l.fs, path, b)
		}
		l.open(t, l.fs)
		l.cites(t, name, 0, 9, shelfBooks-1)
		if !l.complained(builtFromStore) {
			t.Errorf("%s: the file was used", name)
		}
		check(t, l.db.Close())
		if got := l.files(t); len(got) != 1 {
			t.Fatalf("%s: files of passages: %v", name, got)
		} else if path = got[0]; len(readAll(t, l.fs, path)) < len(whole) {
			t.Errorf("%s: no whole file was written", name)
		}
		whole = readAll(t, l.fs, path)
	}

	// Damage in the vectors is found out beside the calls.
	putFile(t, l.fs, path, damagedAt(whole, len(whole)*9/10))
	l.open(t, l.fs)
	l.cites(t, "loaded", 1)
	eventually(t, "the damaged file is removed", func() bool { return len(l.files(t)) == 0 })
	l.cites(t, "after damage", 0, 9, shelfBooks-1)
	check(t, l.db.Close())

	// A snapshot and its file that are newer than the journal, as when the store alone was
	// put back.
	path = l.files(t)[0]
	newer := fmt.Sprintf("data/index/1.%020d", 99999)
	check(t, l.fs.Rename(path, newer+".passages.near"))
	snapshots, err := l.fs.List("data/index")
	check(t, err)
	for _, n := range snapshots {
		if !strings.Contains(n, "near") && !strings.HasPrefix(n, "links") {
			check(t, l.fs.Rename("data/index/"+n, newer))
		}
	}
	l.open(t, l.fs)
	l.cites(t, "newer", 0, 9)
	if !l.log.built() {
		t.Error("a snapshot that is newer than the journal was used")
	}
}

// killing is a disk that is copied as a kill leaves it, at steps of writing the file of
// passages and the snapshot that names it.
type killing struct {
	*vfs.MemFS
	copies map[string]*vfs.MemFS
}

func (k *killing) copy(step string) {
	if k.copies[step] == nil {
		k.copies[step] = k.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	}
}

func (k *killing) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := k.MemFS.Create(name, c)
	if strings.HasSuffix(name, ".passages.near.tmp") && err == nil {
		k.copy("created")
		return &killedFile{f, k}, nil
	}
	if strings.HasSuffix(name, ".tmp") && k.copies["named"] != nil {
		k.copy("snapshot begun")
	}
	return f, err
}

func (k *killing) Rename(from, to string) error {
	err := k.MemFS.Rename(from, to)
	if strings.HasSuffix(to, ".passages.near") {
		k.copy("named")
	} else if k.copies["named"] != nil {
		k.copy("snapshot named")
	}
	return err
}

type killedFile struct {
	vfs.File
	disk *killing
}

func (f *killedFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b[:len(b)/2])
	f.disk.copy("half")
	if err == nil {
		var more int
		more, err = f.File.Write(b[len(b)/2:])
		n += more
	}
	return n, err
}

// Whenever the process is killed while the file is written, nothing is lost.
func TestPassagesFileKilledWhileSaved(t *testing.T) {
	disk := &killing{vfs.NewCrashableMem(), map[string]*vfs.MemFS{}}
	l := newShelf(t, disk)
	check(t, l.db.Close())
	if len(disk.copies) != 5 {
		t.Fatalf("killed at %d steps", len(disk.copies))
	}
	for step, copied := range disk.copies {
		l.open(t, copied)
		l.cites(t, step, 0, 9, shelfBooks-1)
		l.write(t, l.space, 1)
		l.cites(t, step, l.books-1)
		check(t, l.db.Close())
		l.open(t, copied)
		l.cites(t, step+", and once more", 0, 9, l.books-1)
		clean(t, l.db)
		check(t, l.db.Close())
	}
}

// The file of a model that the space has left is not used for another's passages, though
// it is of the same size.
func TestPassagesFileOfAnotherModel(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := newShelf(t, fs)
	check(t, l.db.Close())
	before := l.files(t)
	l.open(t, fs)
	l.cites(t, "by the first model", 2)
	job, err := l.space.Reembed(context.Background(), newReader(2).name)
	check(t, err)
	eventually(t, "the model is changed", func() bool {
		j, err := l.db.Job(job.ID)
		check(t, err)
		return j.State == engram.JobDone
	})
	l.cites(t, "by the second model", 2, 9)
	killed := fs.CrashClone(vfs.CrashCloneCfg{})
	check(t, l.db.Close())
	after := l.files(t)
	if len(after) != 1 || slices.Equal(before, after) {
		t.Errorf("files %v, before %v", after, before)
	}
	for when, from := range map[string]*vfs.MemFS{"killed": killed, "closed": fs} {
		l.open(t, from)
		l.cites(t, when, 0, 2, 9, shelfBooks-1)
		clean(t, l.db)
		check(t, l.db.Close())
	}
}

// What is erased is in no file of passages.
func TestPassagesFileErase(t *testing.T) {
	l := newShelf(t, vfs.NewMem())
	check(t, l.db.Close())
	l.open(t, l.fs)
	v := meaning(wordAt(4, 77), 1)
	given, err := binary.Append(nil, binary.LittleEndian, v)
	check(t, err)
	vector.Normalize(v, v)
	kept, err := binary.Append(nil, binary.LittleEndian, v)
	check(t, err)
	if len(filesWith(t, l.fs, "data/index", string(kept))) != 1 {
		t.Fatal("the vector is not in the file to begin with")
	}
	l.cites(t, "before", 4)
	_, err = l.space.Delete(context.Background(), "book4", memory.Erase, 0, engram.WriteOptions{})
	check(t, err)
	eventually(t, "no file of passages is left", func() bool { return len(l.files(t)) == 0 })
	eventually(t, "the vector is in no file", func() bool { return len(filesWith(t, l.fs, "data", string(given))) == 0 })
	check(t, l.db.Close())
	if found := filesWith(t, l.fs, "data", string(kept)); len(found) > 0 {
		t.Errorf("it came back into %v", found)
	}
	if got := l.files(t); len(got) != 1 {
		t.Fatalf("files of passages: %v", got)
	}
	l.open(t, l.fs)
	l.cites(t, "after", 3, 5)
	if id, _ := cites(t, l.space, memory.Cue{Text: wordAt(4, 77), Mode: memory.ModeSimilar, Stages: memory.Stages{NoText: true}}); id == "book4" {
		t.Error("it is found after it was erased")
	}
}
