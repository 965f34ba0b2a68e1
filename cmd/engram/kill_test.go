package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// TestKill kills a server with SIGKILL under writers, several times, and looks
// for every write that it acknowledged.
func TestKill(t *testing.T) {
	const rounds, writers, acksBeforeKill = 3, 4, 40
	dir, ctx := t.TempDir(), t.Context()
	var acknowledged []string
	for round := range rounds {
		p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		lookFor(t, p, acknowledged)
		acks := make(chan string)
		var running sync.WaitGroup
		for w := range writers {
			running.Go(func() { write(ctx, p, fmt.Sprintf("%d-%d", round, w), acks) })
		}
		go func() { running.Wait(); close(acks) }()
		killed, n := make(chan struct{}), 0
		for id := range acks { // a writer ends when the server is gone
			acknowledged = append(acknowledged, id)
			if n++; n == acksBeforeKill {
				go func() { p.kill(); close(killed) }()
			}
		}
		if n < acksBeforeKill {
			p.kill()
			t.Fatalf("round %d: writers failed after %d writes: %s", round, n, &p.stderr)
		}
		<-killed // not only its stdout: the lock on the directory goes last
	}
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	lookFor(t, p, acknowledged)
}

// write remembers one thing after the other until the server does not answer.
func write(ctx context.Context, p *process, name string, acks chan<- string) {
	api, err := dial(p.address)
	for i := 0; err == nil; i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		_, err = api.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Id: id, Text: "written by " + name}})
		if err == nil {
			acks <- id
		}
	}
}

func lookFor(t *testing.T, p *process, ids []string) {
	t.Helper()
	api, err := dial(p.address)
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.GetMemories(t.Context(), &engramv1.GetMemoriesRequest{Space: "default", Ids: ids})
	if len(ids) > 0 && err != nil {
		t.Fatal(err)
	}
	if len(a.GetMissing()) > 0 {
		t.Fatalf("%d of %d acknowledged memories are lost: %v", len(a.GetMissing()), len(ids), a.GetMissing())
	}
}
