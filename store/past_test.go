package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/memory"
)

// TestPastRandom: whatever became of nodes, links and entities, each earlier state that the
// journal reaches back to is as it was, but for what was erased.
func TestPastRandom(t *testing.T) {
	for seed := range uint64(brief(6, 2)) {
		s := open(t, "d", small(vfs.NewMem()))
		space := mustSpace(t, s, "random")
		r := rand.New(rand.NewPCG(seed, 9))
		erased := make(map[memory.Ordinal]bool)
		seen := make(map[memory.LSN]moment)
		horizon, last := memory.LSN(0), memory.LSN(0)
		for i := range 300 {
			change(t, s, space, r, i)
			noteErased(t, s, space, last, erased)
			if r.IntN(40) == 0 && i < 200 {
				var err error
				if horizon, err = s.Truncate(bg, space, memory.LSN(r.IntN(i+1))); err != nil {
					t.Fatal(err)
				}
			}
			m, err := stands(s, space)
			if err != nil {
				t.Fatal(err)
			}
			seen[m.lsn] = m
			last = m.lsn
		}
		v := view(t, s)
		for lsn, m := range seen {
			got, err := then(v, space, lsn)
			if lsn < horizon {
				if !errors.Is(err, ErrBeyond) {
					t.Errorf("seed %d: below the horizon %d: %v", seed, horizon, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if a, b := got.without(erased), m.without(erased); !slices.Equal(a, b) {
				t.Fatalf("seed %d: the state at %d (horizon %d) is\n%q\nit was\n%q", seed, lsn, horizon, a, b)
			}
		}
		v.Close()
		closed(t, s)
	}
}

// change makes one change of some kind.
func change(t *testing.T, s *Shard, space memory.SpaceID, r *rand.Rand, i int) {
	t.Helper()
	some := func(kind string) memory.ID { return memory.ID(fmt.Sprint(kind, r.IntN(8))) }
	any := func() memory.ID { return some([]string{"e", "m"}[r.IntN(2)]) }
	var f func(*Tx) error
	switch r.IntN(12) {
	case 0, 1:
		one := some("e")
		f = func(tx *Tx) error { return errors.Join(absent(tx, one), entity(one)(tx)) }
	case 2, 3:
		one := some("m")
		f = func(tx *Tx) error { return errors.Join(absent(tx, one), create(one, episode("text", nil))(tx)) }
	case 4:
		f = revise(some("m"), fmt.Sprint("text ", i))
	case 5, 6:
		f = link(memory.ID(fmt.Sprint("l", i)), any(), any(), "x")
	case 7:
		id := memory.ID(fmt.Sprint("l", r.IntN(i+1)))
		f = func(tx *Tx) error {
			l, err := tx.Link(id)
			if err != nil || l == nil {
				return errors.Join(err, errGone)
			}
			if r.IntN(2) == 0 {
				return tx.EndLinks([]memory.ID{id})
			}
			is := *l
			is.Type = fmt.Sprint("type", i)
			return tx.PutLink(&is, nil, l)
		}
	case 8, 9:
		f = mergeInto(some("e"), some("e"))
	case 10:
		f = undo(some("e"), r.IntN(4))
	default:
		mode := memory.Delete
		if r.IntN(4) == 0 {
			mode = memory.Erase
		}
		f = end(mode, any())
	}
	if _, err := do(s, space, f); err != nil && !errors.Is(err, errGone) {
		t.Fatal(err)
	}
}

// noteErased notes which nodes were erased after a record.
func noteErased(t *testing.T, s *Shard, space memory.SpaceID, after memory.LSN, erased map[memory.Ordinal]bool) {
	t.Helper()
	v := view(t, s)
	defer v.Close()
	err := v.Records(space, after, func(r *Record) (bool, error) {
		if r.Kind == NodesEnded && r.Nodes.Mode == memory.Erase {
			for _, o := range r.Nodes.Ordinals {
				erased[o] = true
			}
		}
		return true, nil
	})
	if err != nil && !errors.Is(err, ErrBeyond) {
		t.Fatal(err)
	}
}

func absent(tx *Tx, id memory.ID) error {
	n, err := tx.Lookup(id)
	if err == nil && n != nil {
		return errGone
	}
	return err
}

// moment is a state: its nodes and links.
type moment struct {
	lsn   memory.LSN
	nodes []*Node
	links []*Link
}

func stands(s *Shard, space memory.SpaceID) (m moment, err error) {
	v, err := s.View()
	if err != nil {
		return m, err
	}
	defer v.Close()
	meta, err := v.Meta(space)
	m.lsn = meta.LSN
	err = errors.Join(err,
		v.Nodes(space, 0, func(n *Node) (bool, error) { m.nodes = append(m.nodes, n); return true, nil }),
		v.Links(space, func(l *Link) (bool, error) { m.links = append(m.links, l); return true, nil }))
	return m, err
}

func then(v *View, space memory.SpaceID, at memory.LSN) (m moment, err error) {
	p, err := v.Past(space, at)
	if err != nil {
		return m, err
	}
	m.lsn = at
	if m.nodes, err = p.Nodes(); err == nil {
		err = p.Links(func(l *Link) (bool, error) { m.links = append(m.links, l); return true, nil })
	}
	return m, err
}

// without tells a state but for what was erased.
func (m moment) without(erased map[memory.Ordinal]bool) (all []string) {
	for _, n := range m.nodes {
		if !erased[n.Ordinal] {
			all = append(all, fmt.Sprint(n.Ordinal, n.ID, n.Kind, n.Version, n.LSN))
		}
	}
	for _, l := range m.links {
		if !erased[l.From] && !erased[l.To] {
			all = append(all, fmt.Sprint(l.ID, l.From, l.To, l.FromID, l.ToID, l.Type, l.Weight, l.Version, l.LSN))
		}
	}
	slices.Sort(all)
	return all
}

// TestPastSuppressed: a memory that is kept out of recall is kept out of the past, too, and
// one that is shown again is there.
func TestPastSuppressed(t *testing.T) {
	s := open(t, "d", small(vfs.NewMem()))
	defer closed(t, s)
	space := mustSpace(t, s, "s")
	must1(t, s, space, create("a", episode("one", nil)))
	must1(t, s, space, create("c", episode("c", nil)))
	must1(t, s, space, end(memory.Suppress, "c"))
	at := must1(t, s, space, create("b", episode("b", nil))).LSN
	must1(t, s, space, revise("c", "c again"))
	must1(t, s, space, with("c", func(tx *Tx, n *Node) error { return tx.Show([]*Node{n}, "") }))
	must1(t, s, space, end(memory.Delete, "c"))
	must1(t, s, space, revise("a", "two"))
	must1(t, s, space, end(memory.Suppress, "a"))
	must1(t, s, space, end(memory.Suppress, "b"))
	must1(t, s, space, with("b", func(tx *Tx, n *Node) error { return tx.Show([]*Node{n}, "") }))
	v := view(t, s)
	defer v.Close()
	m, err := then(v, space, at)
	if err != nil || len(m.nodes) != 3 || m.nodes[0].Version != 1 || !m.nodes[0].Suppressed || m.nodes[1].Suppressed || m.nodes[2].Suppressed {
		t.Errorf("%+v, %v", m.nodes, err)
	}
}
