package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/record"
	engramclient "github.com/engramdb/engram/clients/go"
)

// Bars of what a door costs one caller at p50, in milliseconds.
const (
	doorBar = 0.15 // all of it: from the call of the client to the verb and back
	ownBar  = 0.05 // without what the libraries cost around the same operation
)

// A timedWay is a way of doing the operations, and what they took.
type timedWay struct {
	name string
	entry
	spent [2]*load.Latency // by kind
}

// kinds are the operations.
var kinds = []string{"remember", "recall"}

// doorsCaller asks every door in turn, so that nothing queues. What a door costs is
// its p50 without that of the same operation in process; of it, what is not our own
// is what the libraries alone cost around the same operation.
func (b *bench) doorsCaller(ctx context.Context) (err error) {
	w, err := b.newEntries(ctx, filepath.Join(b.scratch, "caller"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	o := w.options()
	o.Protocol = engramclient.Connect
	simple, err := engramclient.New(w.grpc.Address(), o)
	if err != nil {
		return err
	}
	defer simple.Close()
	var ways []*timedWay
	add := func(name string, e entry) { ways = append(ways, &timedWay{name: name, entry: e}) }
	for i, e := range w.all() {
		add(doorNames[i], e)
	}
	add("Connect", w.over(simple))
	for _, kind := range []struct {
		name string
		verb bool
	}{{"alone", true}, {"echo", false}} {
		x, err := newBare(ctx, w, kind.verb)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, x.stop()) }()
		grpc, rest := x.entries()
		add("connect-go "+kind.name, grpc)
		add("net/http "+kind.name, rest)
	}
	if err := b.inTurn(ctx, w, ways); err != nil {
		return err
	}
	b.reportCaller(w, ways)
	return nil
}

// block is how often a way is used before the next one's turn: a caller uses one
// door, whose code and data its last call has left in the processor's caches.
const block = 20

// inTurn does both operations in every way, again and again.
func (b *bench) inTurn(ctx context.Context, w *entries, ways []*timedWay) error {
	step("one caller, each door in turn")
	w.seen.forget()
	for _, x := range ways {
		x.spent = [2]*load.Latency{load.NewLatency(), load.NewLatency()}
	}
	for round := range b.n(200) {
		w.seen.listening.Store(round%8 == 0) // hearing is work too, inside of what is measured
		for turn := range ways {
			x := ways[(round+turn)%len(ways)] // whom one way's work disturbs is another's turn next time
			for i := range block {
				if err := x.once(ctx, round*block+i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// once does both operations.
func (x *timedWay) once(ctx context.Context, i int) error {
	for k, do := range []func(context.Context, int) error{x.remember, x.recall} {
		begin := time.Now()
		if err := do(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		x.spent[k].Add(time.Since(begin))
	}
	return nil
}

// reportCaller puts what the ways took beside each other.
func (b *bench) reportCaller(w *entries, ways []*timedWay) {
	by := map[string]*timedWay{}
	for _, x := range ways {
		by[x.name] = x
	}
	for k, kind := range kinds {
		p50 := func(name string) time.Duration { return by[name].spent[k].At(0.5) }
		n := int(ways[0].spent[k].Count())
		say := func(name string, d time.Duration, bar *record.Bar) { b.Millis(name, d, n, bar) }
		plain := p50(doorNames[0])
		say("one caller, in process, "+kind+", p50", plain, nil)
		for _, door := range []struct{ name, library string }{{"gRPC", "connect-go"}, {"REST", "net/http"}, {"Connect", ""}} {
			say("one caller, "+door.name+", "+kind+", p50", p50(door.name), nil)
			if seen := w.seen.of(door.name + ", " + kind); seen != nil {
				b.Millis("one caller, "+door.name+", "+kind+", server, p50", seen.At(0.5), int(seen.Count()), nil)
			}
			say("what "+door.name+" costs a "+kind, p50(door.name)-plain, record.AtMost(doorBar))
			if door.library == "" {
				continue
			}
			alone := p50(door.library + " alone")
			say("one caller, "+door.library+" alone, "+kind+", p50", alone, nil)
			say("of it, what "+door.library+" alone costs", alone-plain, nil)
			say("of it, the door's own, "+door.name+", "+kind, p50(door.name)-alone, record.AtMost(ownBar))
			say("one caller, "+door.library+" alone, echo of a "+kind+", p50", p50(door.library+" echo"), nil)
		}
	}
}
