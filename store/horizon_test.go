package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
)

// TestHorizon walks a space through versions and ends, moves the horizon up step
// by step, and looks back round it.
func TestHorizon(t *testing.T) {
	c := clock.NewVirtual(epoch)
	o := small(vfs.NewMem())
	o.Clock = c
	s := open(t, "d", o)
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	vec := make([]float32, testDim)
	vec[0] = 1
	for _, f := range []func(*Tx) error{
		create("a", episode("one", vec)), // 1
		revise("a", "two"),               // 2: shares the vector
		func(tx *Tx) error { return reviseVector(tx, "a", "three", vec) }, // 3: a vector of its own
		create("b", episode("b", nil)),                                    // 4
		end(memory.Delete, "b"),                                           // 5
		create("b", episode("b again", nil)),                              // 6: another node of the same id
		func(tx *Tx) error { // 7, 8, 9: one commit
			return errors.Join(create("c", episode("c", nil))(tx), create("d", episode("d", nil))(tx), create("e", episode("e", nil))(tx))
		},
		revise("a", "four"), // 10
	} {
		c.Advance(time.Minute)
		must1(t, s, space, f)
	}
	want := lookBack(t, s, space, 0)
	at := digestsOfNodes(t, s, space)
	for _, step := range []struct{ upTo, horizon memory.LSN }{{1, 1}, {1, 1}, {2, 2}, {3, 3}, {5, 5}, {8, 6}, {9, 9}, {100, 10}} {
		got, err := s.Truncate(bg, space, step.upTo)
		if err != nil || got != step.horizon {
			t.Fatalf("truncate to %d gives %d, %v", step.upTo, got, err)
		}
		sound(t, s)
		if back := lookBack(t, s, space, step.horizon); !slices.Equal(back, want[step.horizon:]) {
			t.Errorf("horizon %d: looking back gives\n%q, want\n%q", step.horizon, back, want[step.horizon:])
		}
		if got := digestsOfNodes(t, s, space); got != at {
			t.Errorf("horizon %d: the living have changed", step.horizon)
		}
		v := view(t, s)
		if err := v.Records(space, step.horizon-1, nil); !errors.Is(err, ErrBeyond) {
			t.Errorf("reading below the horizon %d gives %v", step.horizon, err)
		}
		if _, err := v.LSNAt(space, epoch.Add(30*time.Second)); step.horizon > 0 && !errors.Is(err, ErrBeyond) {
			t.Errorf("a time below the horizon %d gives %v", step.horizon, err)
		}
		for l := step.horizon; l <= 6; l++ { // a minute each
			if got, err := v.LSNAt(space, epoch.Add(time.Duration(l)*time.Minute+time.Second)); err != nil || got != l {
				t.Errorf("horizon %d: the record at minute %d is %d, %v", step.horizon, l, got, err)
			}
		}
		v.Close()
	}
	v := view(t, s)
	defer v.Close()
	for version, wanted := range map[uint32]bool{1: false, 2: false, 3: false, 4: true} {
		if _, found, err := v.Head(space, 1, version); err != nil || found != wanted {
			t.Errorf("payload of version %d: %v, %v", version, found, err)
		}
	}
	for version, wanted := range map[uint32]bool{1: false, 3: true} { // version 4 shares that of 3
		if got, err := v.Vector(space, 1, version); err != nil || (got != nil) != wanted {
			t.Errorf("vector of version %d: %v, %v", version, got, err)
		}
	}
	if all, err := v.History(space, 1); err != nil || len(all) != 1 || all[0].Version != 4 {
		t.Errorf("the history is %v, %v", all, err)
	}
}

func reviseVector(tx *Tx, id memory.ID, text string, vec []float32) error {
	n, err := tx.Lookup(id)
	if err != nil {
		return err
	}
	_, err = tx.Revise(n, episode(text, vec), 0, "model", nil, nil)
	return err
}

// lookBack says what stood after each record from one on.
func lookBack(t *testing.T, s *Shard, space memory.SpaceID, from memory.LSN) (out []string) {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	for at := from; at <= 10; at++ {
		line := ""
		for _, id := range []memory.ID{"a", "b", "c", "d", "e"} {
			n, err := v.LookupAt(space, id, at)
			if err != nil {
				t.Fatal(err)
			}
			if n == nil {
				continue
			}
			byOrdinal, err := v.NodeAt(space, n.Ordinal, at)
			if err != nil || byOrdinal == nil || byOrdinal.Version != n.Version {
				t.Errorf("at %d: %s is %v by id and %v by ordinal, %v", at, id, n, byOrdinal, err)
			}
			head, found, err := v.Head(space, n.Ordinal, n.Version)
			if err != nil || !found {
				t.Fatalf("at %d: the payload of %s is missing: %v", at, id, err)
			}
			e, err := DecodeEpisode(head)
			if err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf("%s%d v%d %s; ", id, n.Ordinal, n.Version, e.Text)
		}
		out = append(out, line)
	}
	return out
}

func digestsOfNodes(t *testing.T, s *Shard, space memory.SpaceID) (all string) {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	err := v.Nodes(space, 1, func(n *Node) (bool, error) {
		all += string(encode(n))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTruncateSteps moves the horizon over more than one step's records, under
// writers.
func TestTruncateSteps(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	const n = 3*truncateRecords + 100
	must1(t, s, space, func(tx *Tx) error {
		for i := range n {
			if err := create(memory.ID(fmt.Sprint("m", i)), episode("text", nil))(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if got, err := s.Truncate(bg, space, n-1); err != nil || got != 0 {
		t.Fatalf("a commit is cut at %d: %v", got, err)
	}
	for i := range n {
		must1(t, s, space, revise(memory.ID(fmt.Sprint("m", i)), "new text"))
	}
	done := make(chan error)
	go func() {
		_, err := s.Truncate(bg, space, 2*n-50)
		done <- err
	}()
	for i := range 100 {
		must1(t, s, space, create(memory.ID(fmt.Sprint("more", i)), episode("text", nil)))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	v := view(t, s)
	defer v.Close()
	if h, err := v.Horizon(space); err != nil || h != 2*n-50 {
		t.Errorf("the horizon is %d, %v", h, err)
	}
	sound(t, s)
}
