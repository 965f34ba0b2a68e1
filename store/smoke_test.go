package store

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/engramdb/engram/memory"
)

func TestSmoke(t *testing.T) {
	s, err := Open("d", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, err = s.Commit(ctx, &Write{Space: 1, Decide: func(tx *Tx) error {
		p, _ := EncodeEpisode(&memory.Episode{Text: "hello"})
		_, err := tx.Create("a", memory.KindEpisode, p, "", nil, nil)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := s.View()
	n, err := v.Lookup(1, "a")
	if err != nil || n == nil {
		t.Fatal(n, err)
	}
	h, ok, err := v.Head(1, n.Ordinal, n.Version)
	t.Log(string(h), ok, err)
	v.Close()
	_, err = s.Commit(ctx, &Write{Space: 1, Decide: func(tx *Tx) error {
		n, err := tx.Lookup("a")
		if err != nil {
			return err
		}
		return tx.End(memory.Erase, []*Node{n}, "")
	}})
	if err != nil {
		t.Fatal(err)
	}
	ls, err := s.Wipe(ctx, 1, func() error { return nil })
	if err != nil || len(ls) != 1 {
		t.Fatal(ls, err)
	}
	if h, err := s.Truncate(ctx, 1, 100); err != nil || h != 3 {
		t.Fatal(h, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
