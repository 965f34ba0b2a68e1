package engram_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// secret is a word that no compression can shorten, so that it lies in a file as
// it is written.
func secret(rng *rand.Rand) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 40)
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	return "z" + string(b)
}

// filesWith are the files below a directory that hold any part of a word.
func filesWith(t *testing.T, fs vfs.FS, dir, word string) (found []string) {
	t.Helper()
	names, err := fs.List(dir)
	check(t, err)
	for _, n := range names {
		path := fs.PathJoin(dir, n)
		info, err := fs.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		check(t, err)
		if info.IsDir() {
			found = append(found, filesWith(t, fs, path, word)...)
			continue
		}
		b := readAll(t, fs, path)
		for i := 0; i+16 <= len(word); i += 8 {
			if bytes.Contains(b, []byte(word[i:i+16])) {
				found = append(found, path)
				break
			}
		}
	}
	return found
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // removed meanwhile
	}
	check(t, err)
	info, err := f.Stat()
	check(t, err)
	b := make([]byte, info.Size())
	if len(b) > 0 {
		_, err = f.ReadAt(b, 0)
		check(t, err)
	}
	check(t, f.Close())
	return b
}

// fillWithSecrets stores enough memories for snapshots, and among them one that
// says its secrets in every place that a caller has.
func fillWithSecrets(t *testing.T, s *engram.Space, text, tag, link string, vector []float32) {
	t.Helper()
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(3, 3))
	for from := 0; from < manyMemories; from += 700 {
		es := make([]memory.Episode, 700)
		for i := range es {
			es[i] = memory.Episode{ID: memory.ID(fmt.Sprint("m", from+i)), Text: "filler " + secret(rng), Vector: []float32{1, float32(i), 2, 3}, Tags: []string{"filler"}}
		}
		_, err := s.RememberBatch(ctx, es, false, engram.WriteOptions{})
		check(t, err)
	}
	e := memory.Episode{ID: "hide", Title: "title " + text, Text: "first " + text, Vector: vector, Tags: []string{tag}, People: []string{"p" + tag}, Stream: "s" + tag,
		Place: &memory.Place{Name: "at " + tag}, Metadata: memory.Metadata{"k": "v" + tag, "l" + tag: []any{tag}}, Source: "from " + text,
		Fact: &memory.Fact{Subject: text, Attribute: "is", Value: "f" + text}, Links: []memory.LinkDraft{{To: "m1", Type: "t", Metadata: memory.Metadata{"k": link}}}}
	remember(t, s, e)
	_, err := s.Update(ctx, "hide", func(e *memory.Episode) error { e.Text = "second " + text; return nil }, engram.WriteOptions{IdempotencyKey: "k"})
	check(t, err)
	_, err = s.Link(ctx, memory.Link{ID: "l", From: "m2", To: "hide", Type: "t", Metadata: memory.Metadata{"k": link}}, engram.WriteOptions{})
	check(t, err)
	_, err = s.UpdateLink(ctx, "l", func(l *memory.Link) error { l.Metadata = memory.Metadata{"k": "again " + link}; return nil }, engram.WriteOptions{})
	check(t, err)
}

// TestErase: once an erasure says that it is done, no byte of what was said is
// left in any file: not in tables, logs or snapshots of indexes, though a walk
// that began before goes on.
func TestErase(t *testing.T) {
	for _, how := range []string{"at once", "after a restart", "cut short by a power cut", "beside writers"} {
		t.Run(how, func(t *testing.T) {
			ctx := context.Background()
			rng := rand.New(rand.NewPCG(1, 2))
			text, tag, link := secret(rng), secret(rng), secret(rng)
			vector := []float32{rng.Float32(), rng.Float32(), rng.Float32(), rng.Float32()}
			fs := vfs.NewCrashableMem()
			db := openWith(t, fs, engram.Options{})
			s := spaceOf(t, db, "s", 4)
			fillWithSecrets(t, s, text, tag, link, vector)
			reopen := func() {
				check(t, db.Close())
				db = openWith(t, fs, engram.Options{})
				s = spaceOf(t, db, "s", 4)
			}
			reopen() // saves the indexes
			for _, word := range []string{text, tag, link} {
				if len(filesWith(t, fs, "data", word)) == 0 {
					t.Fatal("the secret is not there to begin with")
				}
			}
			p, err := s.List(ctx, engram.ListQuery{PageSize: 1000, Order: engram.ListStored})
			check(t, err)
			stop := make(chan struct{})
			var writer sync.WaitGroup
			switch how {
			case "after a restart":
				// Close ends the job, or lets it end; the next life has to finish it.
				_, err = s.Delete(ctx, "hide", memory.Erase, 0, engram.WriteOptions{})
				check(t, err)
				reopen()
			case "cut short by a power cut":
				_, err = s.Delete(ctx, "hide", memory.Erase, 0, engram.WriteOptions{})
				check(t, err)
				after := fs.CrashClone(vfs.CrashCloneCfg{})
				check(t, db.Close())
				fs = after
				db = openWith(t, fs, engram.Options{})
				s = spaceOf(t, db, "s", 4)
			case "beside writers":
				writer.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := s.Remember(ctx, memory.Episode{Text: fmt.Sprint("busy ", i), Vector: []float32{1, 2, 3, 4}}, engram.WriteOptions{}); err != nil {
							t.Error(err)
						}
					}
				})
				fallthrough
			default:
				f, err := s.Delete(ctx, "hide", memory.Erase, erasureWait, engram.WriteOptions{})
				check(t, err)
				if f.Job != nil {
					t.Fatalf("not done: %+v", f.Job)
				}
			}
			left := func() (files []string) {
				for _, word := range []string{text, tag, link} {
					files = append(files, filesWith(t, fs, "data", word)...)
				}
				return files
			}
			switch how {
			case "at once":
				if files := left(); len(files) > 0 {
					t.Fatalf("done, and still in %v", files)
				}
			case "after a restart", "cut short by a power cut":
				eventually(t, "the erasure is finished", func() bool { return len(left()) == 0 })
			}
			_, err = s.Get(ctx, "hide", engram.ReadOptions{})
			mustCode(t, err, "memory_not_found")
			_, err = s.Get(ctx, "hide", engram.ReadOptions{AsOfLSN: manyMemories + 1})
			mustCode(t, err, "memory_not_found")
			for _, c := range []memory.Cue{{Text: text}, {Filter: memory.Filter{Tags: []string{tag}}}, {Filter: memory.Filter{Stream: "s" + tag}}} {
				if got := recalled(t, s, c); len(got) > 0 {
					t.Errorf("recalled: %v", got)
				}
			}
			// The old walk goes on without it.
			for q := (engram.ListQuery{PageSize: 1000, PageToken: p.NextPageToken}); ; {
				p, err := s.List(ctx, q)
				check(t, err)
				if slices.Contains(idsOf(p.Memories), "hide") {
					t.Error("an old walk gives it")
				}
				if q.PageToken = p.NextPageToken; q.PageToken == "" {
					break
				}
			}
			close(stop)
			writer.Wait() // files come and go under a writer: they are looked at when it has ended
			reopen()
			if files := left(); len(files) > 0 {
				t.Fatalf("back after a restart, in %v", files)
			}
			r, err := db.Verify(ctx)
			check(t, err)
			if len(r.Findings) > 0 {
				t.Errorf("%+v", r.Findings)
			}
		})
	}
}

// TestEraseMany: by filter, in the journal once, with dry run and idle towers.
func TestEraseMany(t *testing.T) {
	ctx := context.Background()
	c := clock.NewVirtual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{Clock: c, IdleClose: time.Minute})
	s := spaceOf(t, db, "s", 0)
	rng := rand.New(rand.NewPCG(5, 6))
	var words []string
	var es []memory.Episode
	for i := range 900 {
		words = append(words, secret(rng))
		es = append(es, memory.Episode{ID: memory.ID(fmt.Sprint("m", i)), Text: words[i], Tags: []string{fmt.Sprint("g", i%3)}})
	}
	_, err := s.RememberBatch(ctx, es, false, engram.WriteOptions{})
	check(t, err)
	q := engram.ForgetQuery{Filter: &memory.Filter{Tags: []string{"g1"}}, Mode: memory.Erase, Reason: "asked for"}
	dry := q
	dry.DryRun = true
	f, err := s.Forget(ctx, dry, erasureWait, engram.WriteOptions{})
	check(t, err)
	if f.Matched != 300 || f.Forgotten != 0 {
		t.Fatalf("%+v", f)
	}
	f, err = s.Forget(ctx, q, erasureWait, engram.WriteOptions{})
	check(t, err)
	if f.Matched != 300 || f.Forgotten != 300 || f.Job != nil {
		t.Fatalf("%+v", f)
	}
	for i, w := range words {
		if files := filesWith(t, fs, "data", w); (len(files) == 0) != (i%3 == 1) {
			t.Fatalf("memory %d, of group %d, is in %v", i, i%3, files)
		}
	}
	eventually(t, "the space closes", func() bool { c.Advance(time.Minute); return db.Stats().OpenSpaces == 0 })
	_, err = s.Delete(ctx, "m0", memory.Erase, erasureWait, engram.WriteOptions{})
	check(t, err)
	if files := filesWith(t, fs, "data", words[0]); len(files) > 0 {
		t.Errorf("erased while the space was closed, and still in %v", files)
	}
	if got := recalled(t, s, memory.Cue{Text: words[2]}); !slices.Equal(got, []memory.ID{"m2"}) {
		t.Errorf("another one was lost: %v", got)
	}
}
