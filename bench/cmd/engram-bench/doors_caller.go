package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/engramdb/engram/bench/load"
	"github.com/engramdb/engram/bench/record"
)

// Bars of what a door costs one caller at p50, in milliseconds.
const (
	doorBar = 0.15 // all of it: from the call of the client to the verb and back
	ownBar  = 0.05 // without what the libraries cost around the same operation
)

// doorsCaller asks every door in turn, so that nothing queues. What a door costs is
// its p50 without that of the same operation in process; of it, what is not our own
// is what the libraries alone cost around the same operation.
func (b *bench) doorsCaller(ctx context.Context) (err error) {
	w, err := b.newEntries(ctx, filepath.Join(b.scratch, "caller"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	ways := w.all()
	names := doorNames
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
		ways = append(ways, grpc, rest)
		names = append(names, "connect-go "+kind.name, "net/http "+kind.name)
	}
	spent, err := b.inTurn(ctx, w, names, ways)
	if err != nil {
		return err
	}
	b.reportCaller(w, spent)
	return nil
}

// kinds are the operations, in the order of inTurn's latencies.
var kinds = []string{"remember", "recall"}

// inTurn does both operations in every way, again and again.
func (b *bench) inTurn(ctx context.Context, w *entries, names []string, ways []entry) ([][2]*load.Latency, error) {
	step("one caller, each door in turn")
	w.seen.forget()
	w.seen.listening.Store(true)
	spent := make([][2]*load.Latency, len(ways))
	for i := range spent {
		spent[i] = [2]*load.Latency{load.NewLatency(), load.NewLatency()}
	}
	for i := range b.n(4000) {
		for turn := range ways {
			d := (i + turn) % len(ways) // whom one way's work disturbs is another's turn next time
			for k, do := range []func(context.Context, int) error{ways[d].remember, ways[d].recall} {
				begin := time.Now()
				if err := do(ctx, i); err != nil {
					return nil, fmt.Errorf("%s: %w", names[d], err)
				}
				spent[d][k].Add(time.Since(begin))
			}
		}
	}
	return spent, nil
}

// reportCaller puts what the ways of doorsCaller took beside each other.
func (b *bench) reportCaller(w *entries, spent [][2]*load.Latency) {
	for k, kind := range kinds {
		p50 := func(way int) time.Duration { return spent[way][k].At(0.5) }
		n := int(spent[0][k].Count())
		b.Millis("one caller, in process, "+kind+", p50", p50(0), n, nil)
		for d, library := range []string{1: "connect-go", 2: "net/http"} {
			if d == 0 {
				continue
			}
			door, alone, echo := p50(d), p50(d+2), p50(d+4)
			b.Millis("one caller, "+doorNames[d]+", "+kind+", p50", door, n, nil)
			if seen := w.seen.of(doorNames[d] + ", " + kind); seen != nil {
				b.Millis("one caller, "+doorNames[d]+", "+kind+", server, p50", seen.At(0.5), int(seen.Count()), nil)
			}
			b.Millis("one caller, "+library+" alone, "+kind+", p50", alone, n, nil)
			b.Millis("one caller, "+library+" alone, echo of a "+kind+", p50", echo, n, nil)
			b.Millis("what "+doorNames[d]+" costs a "+kind, door-p50(0), n, record.AtMost(doorBar))
			b.Millis("of it, what "+library+" alone costs", alone-p50(0), n, nil)
			b.Millis("of it, the door's own, "+doorNames[d]+", "+kind, door-alone, n, record.AtMost(ownBar))
		}
	}
}
