package graph

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/engramdb/engram/memory"
)

// model is the plain twin of a Graph: a map of links.
type model map[identity]float64

type identity struct {
	from, to memory.Ordinal
	kind     string
	tag      uint32
}

func (m model) put(l Link) { m[identity{l.From, l.To, l.Type, l.Tag}] = weightOf(l.Weight).float() }

func (m model) endNode(n memory.Ordinal) (ended int) {
	for k := range m {
		if k.from == n || k.to == n {
			delete(m, k)
			ended++
		}
	}
	return ended
}

// links gives what the model holds, in order.
func (m model) links() []Link {
	var ls []Link
	for k, w := range m {
		ls = append(ls, Link{k.from, k.to, k.kind, k.tag, w})
	}
	slices.SortFunc(ls, compareLinks)
	return ls
}

func compareLinks(a, b Link) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Type, b.Type), cmp.Compare(a.To, b.To), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Weight, b.Weight))
}

// linksOf reads a graph through the lists out of nodes, in the order of the model.
func linksOf(g *Graph, d memory.Direction) []Link {
	var ls []Link
	for n := range g.nodes() {
		g.Neighbours(memory.Ordinal(n), d, func(x Neighbour) bool {
			l := Link{memory.Ordinal(n), x.Node, x.Type, x.Tag, x.Weight}
			if d == memory.In {
				l.From, l.To = l.To, l.From
			}
			ls = append(ls, l)
			return true
		})
	}
	slices.SortFunc(ls, compareLinks)
	return ls
}

func untagged(ls []Link) []Link {
	ls = slices.Clone(ls)
	for i := range ls {
		ls[i].Tag = 0
	}
	slices.SortFunc(ls, compareLinks)
	return ls
}

// check compares everything that can be asked with the model.
func check(t fataler, g *Graph, m model) {
	t.Helper()
	want := m.links()
	if got := linksOf(g, memory.Out); !slices.Equal(got, want) {
		t.Fatalf("links out of nodes are %v, want %v", got, want)
	}
	if got := linksOf(g, memory.In); !slices.Equal(got, untagged(want)) {
		t.Fatalf("links into nodes are %v, want %v", got, untagged(want))
	}
	type key struct {
		n    memory.Ordinal
		kind string
		d    memory.Direction
	}
	fans := map[key]int{}
	for _, l := range want {
		fans[key{l.From, l.Type, memory.Out}]++
		fans[key{l.To, l.Type, memory.In}]++
		fans[key{l.From, "", memory.Out}]++
		fans[key{l.To, "", memory.In}]++
	}
	for n := range memory.Ordinal(g.nodes() + 1) {
		for _, d := range []memory.Direction{memory.Out, memory.In} {
			if got := g.Degree(n, d); got != fans[key{n, "", d}] {
				t.Fatalf("degree %v of %d is %d, want %d", d, n, got, fans[key{n, "", d}])
			}
			for _, kind := range g.Types() {
				if got := g.Fan(n, kind, d); got != fans[key{n, kind, d}] {
					t.Fatalf("fan %v of %d over %q is %d, want %d", d, n, kind, got, fans[key{n, kind, d}])
				}
			}
		}
	}
	if got := g.Stats().Links; got != len(want) {
		t.Fatalf("stats say %d links, want %d", got, len(want))
	}
	checkHubs(t, g)
}

// checkHubs counts again what hubs keep, and looks that nothing that ended is left.
func checkHubs(t fataler, g *Graph) {
	t.Helper()
	for _, a := range []*adjacency{&g.out, &g.in} {
		used := make([]bool, len(a.entries))
		for _, l := range a.lists {
			if l.n > 0 && l.n <= listMost {
				for i := l.at; i < l.at+l.n; i++ {
					if used[i] {
						t.Fatal("two lists share an entry")
					}
					used[i] = true
				}
				continue
			}
			if l.n == 0 {
				continue
			}
			h := a.hubs[l.at]
			again := new(hub)
			for _, c := range h.chunks {
				if len(c.entries) == 0 || len(c.entries) > chunkMost {
					t.Fatalf("a chunk has %d entries", len(c.entries))
				}
				again.fill(c.entries, c.tags)
			}
			if len(again.types) != len(h.types) {
				t.Fatalf("hub counts %v, want %v", h.types, again.types)
			}
			for i, x := range h.types {
				y := again.types[i]
				if x != y {
					t.Fatalf("hub counts %v, want %v", x, y)
				}
			}
		}
		for i, e := range a.entries[:cap(a.entries)] {
			if e != 0 && (i >= len(used) || !used[i]) {
				t.Fatal("an entry that ended is still in memory")
			}
		}
	}
}

var kinds = []string{"next", "mentions", "a", "z"}

func drawLink(t *rapid.T, nodes int) Link {
	return Link{
		From:   memory.Ordinal(rapid.IntRange(1, nodes).Draw(t, "from")),
		To:     memory.Ordinal(rapid.IntRange(1, nodes).Draw(t, "to")),
		Type:   rapid.SampledFrom(kinds).Draw(t, "type"),
		Tag:    uint32(rapid.IntRange(0, 5).Draw(t, "tag")),
		Weight: rapid.SampledFrom([]float64{0, 0.001, 0.5, 1, 1, 1, 3, 1e9, math.MaxFloat64}).Draw(t, "weight"),
	}
}

// TestModel does the same to a graph and to a map.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, m := New(), model{}
		nodes := rapid.SampledFrom([]int{3, 12, 200}).Draw(t, "nodes")
		hub := memory.Ordinal(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 5:
				l := drawLink(t, nodes)
				if err := g.Put(l); err != nil {
					t.Fatal(err)
				}
				m.put(l)
			case op == 5: // a hub comes
				for i := range rapid.IntRange(1, 300).Draw(t, "many") {
					l := Link{From: hub, To: memory.Ordinal(i*7%nodes + 1), Type: kinds[i%2], Tag: uint32(i), Weight: float64(i % 5)}
					if i%3 == 0 {
						l.From, l.To = l.To, l.From
					}
					if err := g.Put(l); err != nil {
						t.Fatal(err)
					}
					m.put(l)
				}
			case op < 8:
				if ls := m.links(); len(ls) > 0 {
					l := rapid.SampledFrom(ls).Draw(t, "end")
					if !g.End(l) || g.End(l) {
						t.Fatal("a link ends once")
					}
					delete(m, identity{l.From, l.To, l.Type, l.Tag})
				}
			case op == 8:
				n := memory.Ordinal(rapid.IntRange(1, nodes).Draw(t, "node"))
				if got, want := g.EndNode(n), m.endNode(n); got != want {
					t.Fatalf("%d links of %d ended, want %d", got, n, want)
				}
			default: // most links of the hub go, one by one
				for i, l := range m.links() {
					if l.From == hub && i%4 != 0 {
						g.End(l)
						delete(m, identity{l.From, l.To, l.Type, l.Tag})
					}
				}
			}
		}
		check(t, g, m)
		check(t, reloaded(t, g), m)
	})
}

func reloaded(t fataler, g *Graph) *Graph {
	t.Helper()
	var b bytes.Buffer
	if err := g.Save(&b); err != nil {
		t.Fatal(err)
	}
	saved := slices.Clone(b.Bytes())
	x, err := Load(&b)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := x.Save(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved, again.Bytes()) {
		t.Fatal("a loaded graph saves other bytes")
	}
	return x
}

func TestPutRefuses(t *testing.T) {
	g := New()
	for _, l := range []Link{
		{From: 0, To: 1, Type: "a", Weight: 1}, {From: 1, To: 0, Type: "a", Weight: 1}, {From: 1, To: 2, Type: "a", Weight: -1},
		{From: 1, To: 2, Type: "a", Weight: math.NaN()}, {From: 1, To: 2, Type: "a", Weight: math.Inf(1)}, {From: 1, To: 2, Weight: 1},
	} {
		if err := g.Put(l); !errors.Is(err, ErrLink) {
			t.Errorf("Put(%v) says %v", l, err)
		}
	}
	if g.Stats().Links != 0 || g.nodes() != 0 || len(g.Types()) != 0 {
		t.Error("a refused link left something behind")
	}
}

// TestWeights: what is kept is near, in order, and 0 only for 0.
func TestWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := math.Abs(rapid.Float64().Draw(t, "a")), math.Abs(rapid.Float64().Draw(t, "b"))
		x, y := weightOf(a).float(), weightOf(b).float()
		if a <= b != (x <= y) && x != y {
			t.Fatalf("%v and %v became %v and %v", a, b, x, y)
		}
		if (a == 0) != (x == 0) || math.IsInf(x, 0) {
			t.Fatalf("%v became %v", a, x)
		}
		if a > 1e-30 && a < 3e38 && math.Abs(x-a) > a/256 {
			t.Fatalf("%v became %v", a, x)
		}
	})
}

// TestTotal: the sum depends on what is in it alone.
func TestTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := rapid.SliceOfN(rapid.Uint16Range(0, weightMost), 0, 50).Draw(t, "weights")
		gone := rapid.SliceOfN(rapid.Uint16Range(0, weightMost), 0, 50).Draw(t, "gone")
		var sum, other total
		plain := 0.0
		for _, w := range ws {
			sum.add(weight(w))
			plain += weight(w).float()
		}
		for _, w := range gone {
			other.add(weight(w))
		}
		for _, i := range rand.New(rand.NewPCG(1, uint64(len(ws)))).Perm(len(ws)) {
			other.add(weight(ws[i]))
		}
		for _, w := range gone {
			other.sub(weight(w))
		}
		if sum != other {
			t.Fatalf("%v in another order, with others in between, is %v", sum, other)
		}
		if got := sum.float(); math.Abs(got-plain) > 1e-12*plain {
			t.Fatalf("sum is %v, want %v", got, plain)
		}
	})
}

// TestManyTypes: there may be more types than numbers for them.
func TestManyTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("65,536 types take a second")
	}
	g := New()
	for i := range 1<<16 + 10 {
		if err := g.Put(Link{From: 1, To: 2, Type: fmt.Sprint(i), Weight: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(g.Types()); got != typesMost {
		t.Errorf("%d types, want %d", got, typesMost)
	}
	if !g.End(Link{From: 1, To: 2, Type: fmt.Sprint(1 << 16)}) {
		t.Error("a link of a late type cannot end")
	}
	reloaded(t, g)
}

func TestLoadRefuses(t *testing.T) {
	g := random(50, 400, 1)
	var b bytes.Buffer
	if err := g.Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		if _, err := Load(bytes.NewReader(bad)); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("with byte %d changed Load says %v", i, err)
		}
		if _, err := Load(bytes.NewReader(good[:i])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d Load says %v", i, err)
		}
	}
	if _, err := Load(bytes.NewReader(append(good, "more"...))); err != nil {
		t.Fatalf("with bytes after it Load says %v", err)
	}
}

// FuzzLoad: no bytes make Load panic, and what it takes can be used and saved.
// Checksums are made right, so that the fuzzer gets behind them.
func FuzzLoad(f *testing.F) {
	for _, g := range []*Graph{New(), random(5, 10, 2), random(3, 200, 3)} {
		var b bytes.Buffer
		if err := g.Save(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := Load(bytes.NewReader(resealed(data)))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("Load says %v", err)
			}
			return
		}
		m := model{}
		for _, l := range linksOf(g, memory.Out) {
			m.put(l)
		}
		check(t, g, m)
		reloaded(t, g)
		for n := range memory.Ordinal(g.nodes()) {
			g.EndNode(n)
		}
		check(t, g, model{})
	})
}

// random makes a graph of links between nodes at random, with hubs among them.
func random(nodes, links int, seed uint64) *Graph {
	g, r := New(), rand.New(rand.NewPCG(seed, 7))
	for i := range links {
		to := r.IntN(nodes) + 1
		if i%10 == 0 {
			to = r.IntN(1+nodes/100) + 1
		}
		l := Link{From: memory.Ordinal(r.IntN(nodes) + 1), To: memory.Ordinal(to), Type: kinds[r.IntN(len(kinds))], Tag: uint32(i), Weight: float64(r.IntN(8)) / 4}
		if err := g.Put(l); err != nil {
			panic(err)
		}
	}
	return g
}
