package engram_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// codeOf is the code of a typed error; "" for none.
func codeOf(err error) string {
	var e *memory.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCode(t *testing.T, err error, code string) {
	t.Helper()
	if codeOf(err) != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
}

// openWith opens a database that is closed when the test ends.
func openWith(t *testing.T, fs vfs.FS, o engram.Options) *engram.DB {
	t.Helper()
	o.FS, o.Fatal = fs, func(err error) { t.Error(err) }
	db, err := engram.Open(context.Background(), "data", o)
	check(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil && codeOf(err) != "closed" { // a test may have closed it
			t.Error(err)
		}
	})
	return db
}

func spaceOf(t *testing.T, db *engram.DB, name memory.SpaceName, dimension int) *engram.Space {
	t.Helper()
	_, _, err := db.CreateSpace(context.Background(), name, memory.Settings{Vector: memory.VectorSettings{Dimension: dimension}})
	check(t, err)
	s, err := db.Space(name)
	check(t, err)
	return s
}

func recalled(t *testing.T, s *engram.Space, c memory.Cue) []memory.ID {
	t.Helper()
	r, err := s.Recall(context.Background(), c)
	check(t, err)
	ids := make([]memory.ID, len(r.Results))
	for i := range r.Results {
		ids[i] = r.Results[i].Memory.ID
	}
	return ids
}

func remember(t *testing.T, s *engram.Space, e memory.Episode) engram.Written {
	t.Helper()
	w, err := s.Remember(context.Background(), e, engram.WriteOptions{})
	check(t, err)
	return w
}

func asError(err error, to **memory.Error) bool { return errors.As(err, to) }

// eventually polls: what housekeeping and jobs do has no call to wait in.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // for what would never come; a machine may be slow
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
