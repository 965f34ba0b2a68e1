package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

func entity(id memory.ID) func(*Tx) error {
	return func(tx *Tx) error {
		e, err := EncodeEntity(&memory.Entity{Name: "name of " + string(id)})
		if err != nil {
			return err
		}
		name := DigestKey([]byte(id))
		_, err = tx.Create(id, memory.KindEntity, e, "", name[:], nil)
		return err
	}
}

// mergeInto merges what stands under from into what stands under into.
func mergeInto(into memory.ID, from ...memory.ID) func(*Tx) error {
	return with(into, func(tx *Tx, n *Node) error {
		m := &Merge{Into: n.Ordinal, IntoID: n.ID}
		for _, id := range from {
			f, err := tx.Lookup(id)
			if err != nil || f == nil || f.Ordinal == n.Ordinal {
				return errors.Join(err, errGone)
			}
			m.From, m.IDs, m.Had = append(m.From, f.Ordinal), append(m.IDs, f.ID), append(m.Had, Had{})
		}
		_, _, err := tx.Merge(m)
		return err
	})
}

// undo undoes the merge of a number into what stands under an id.
func undo(into memory.ID, which int) func(*Tx) error {
	return with(into, func(tx *Tx, n *Node) error {
		ms, err := tx.Merges(n.Ordinal)
		if err != nil || len(ms) == 0 {
			return errors.Join(err, errGone)
		}
		_, err = tx.Unmerge(&ms[which%len(ms)])
		return err
	})
}

// TestMergeOfMany: a merge of more links than one record has is one commit, across the
// horizon too, and undone gives the state that was, but for the links' versions.
func TestMergeOfMany(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer func() { closed(t, s) }()
	space := mustSpace(t, s, "many")
	for _, id := range []memory.ID{"a", "b", "c"} {
		must1(t, s, space, entity(id))
	}
	const links = 2*movedLinks + 10
	must1(t, s, space, func(tx *Tx) error {
		for i := range links {
			from, to := memory.ID("b"), memory.ID("c")
			if i%2 == 0 {
				from, to = to, from
			}
			if err := link(memory.ID(fmt.Sprintf("l%05d", i)), from, to, "a note")(tx); err != nil {
				return err
			}
		}
		return nil
	})
	c := must1(t, s, space, mergeInto("a", "b"))
	v := view(t, s)
	records := 0
	err := v.Records(space, c.LSN-4, func(r *Record) (bool, error) {
		records++
		if r.Size != 4 || r.Index != uint32(records-1) {
			t.Errorf("record %d is %d of %d", r.LSN, r.Index, r.Size)
		}
		return true, nil
	})
	v.Close()
	if err != nil || records != 4 {
		t.Errorf("%d records, %v", records, err)
	}
	sound(t, s)
	if _, err := s.Truncate(bg, space, c.LSN); err != nil {
		t.Fatal(err)
	}
	sound(t, s)
	must1(t, s, space, undo("a", 0))
	sound(t, s)
	v = view(t, s)
	defer v.Close()
	at := map[memory.ID]int{}
	err = v.Links(space, func(l *Link) (bool, error) {
		at[l.FromID]++
		md, err := v.LinkMetadata(space, l)
		if l.Version != 3 || md["note"] != "a note" {
			t.Errorf("link %+v with %v", l, md)
		}
		return true, err
	})
	if err != nil || at["b"] != links/2 || at["c"] != links/2 || len(at) != 2 {
		t.Errorf("links leave %v, %v", at, err)
	}
}

// TestMergeRandom: merges, undoes, ends and truncations in any order leave a sound
// store, which opens again to the same state.
func TestMergeRandom(t *testing.T) {
	for seed := range uint64(brief(6, 2)) {
		fs := vfs.NewMem()
		s := open(t, "d", small(fs))
		space := mustSpace(t, s, "random")
		r := rand.New(rand.NewPCG(seed, 5))
		id := func() memory.ID { return memory.ID(fmt.Sprint("e", r.IntN(12))) }
		try := func(f func(*Tx) error) {
			t.Helper()
			if _, err := do(s, space, f); err != nil && !errors.Is(err, errGone) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for i := range 300 {
			switch r.IntN(8) {
			case 0, 1:
				one := id()
				try(func(tx *Tx) error {
					if n, err := tx.Lookup(one); err != nil || n != nil {
						return err
					}
					return entity(one)(tx)
				})
			case 2, 3:
				from, to := id(), id()
				try(func(tx *Tx) error {
					a, err := tx.Lookup(from)
					if err != nil || a == nil {
						return errors.Join(err, errGone)
					}
					b, err := tx.Lookup(to)
					if err != nil || b == nil {
						return errors.Join(err, errGone)
					}
					return link(memory.ID(fmt.Sprint("l", i)), a.ID, b.ID, "x")(tx)
				})
			case 4, 5:
				try(mergeInto(id(), id()))
			case 6:
				try(undo(id(), r.IntN(4)))
			case 7:
				if r.IntN(3) == 0 {
					try(end(memory.Delete, id()))
				} else if _, err := s.Truncate(bg, space, memory.LSN(r.IntN(i+1))); err != nil {
					t.Fatal(err)
				}
			}
		}
		sound(t, s)
		before := digest(t, s, space)
		closed(t, s)
		s = open(t, "d", small(fs))
		if got := digest(t, s, space); got != before {
			t.Errorf("seed %d: opened again it is another state", seed)
		}
		closed(t, s)
	}
}
