package engram_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// A database in memory; leave FS out for one on disk.
func openExample() (*engram.DB, *engram.Space) {
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	space, err := db.Space(engram.DefaultSpace)
	if err != nil {
		log.Fatal(err)
	}
	return db, space
}

func ExampleSpace_Remember() {
	ctx := context.Background()
	db, space := openExample()
	defer db.Close()

	w, err := space.Remember(ctx, memory.Episode{
		ID:       "otters",
		Text:     "Ada fed the otters at the harbour",
		Happened: memory.At(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)),
		People:   []string{"Ada"},
		Tags:     []string{"animals"},
		Metadata: memory.Metadata{"mood": "calm"},
	}, engram.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Outcome, w.ID, w.Version)

	// Other content under the same id needs a word.
	_, err = space.Remember(ctx, memory.Episode{ID: "otters", Text: "Bo fed the otters"}, engram.WriteOptions{})
	fmt.Println(memory.KindOf(err), err)
	// Output:
	// created otters 1
	// conflict remember: id "otters" stands with other content (version 1)
}

func ExampleSpace_Recall() {
	ctx := context.Background()
	db, space := openExample()
	defer db.Close()
	for _, e := range []memory.Episode{
		{ID: "otters", Text: "Ada fed the otters at the harbour", Tags: []string{"animals"}},
		{ID: "boat", Text: "Bo painted the boat in the harbour"},
		{ID: "cat", Text: "The cat slept all day", Tags: []string{"animals"}},
	} {
		if _, err := space.Remember(ctx, e, engram.WriteOptions{}); err != nil {
			log.Fatal(err)
		}
	}

	r, err := space.Recall(ctx, memory.Cue{Text: "who was feeding an otter?", Limit: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range r.Results {
		fmt.Println(x.Memory.ID, x.Parts[0].Stage)
	}

	// Filters narrow a cue, or list what they let through.
	r, err = space.Recall(ctx, memory.Cue{Filter: memory.Filter{Tags: []string{"animals"}}})
	if err != nil {
		log.Fatal(err)
	}
	for _, x := range r.Results {
		fmt.Println(x.Memory.ID)
	}
	// Output:
	// otters text
	// cat
	// otters
}

func ExampleSpace_Forget() {
	ctx := context.Background()
	db, space := openExample()
	defer db.Close()
	for i := range 5 {
		_, err := space.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprint("note-", i)), Text: "a note", Stream: "scratch"}, engram.WriteOptions{})
		if err != nil {
			log.Fatal(err)
		}
	}
	q := engram.ForgetQuery{Filter: &memory.Filter{Stream: "scratch"}, Mode: memory.Erase, DryRun: true}
	f, err := space.Forget(ctx, q, time.Minute, engram.WriteOptions{})
	fmt.Println(f.Matched, f.Forgotten, err)
	q.DryRun = false
	f, err = space.Forget(ctx, q, time.Minute, engram.WriteOptions{})
	fmt.Println(f.Matched, f.Forgotten, err)
	// Output:
	// 5 0 <nil>
	// 5 5 <nil>
}
