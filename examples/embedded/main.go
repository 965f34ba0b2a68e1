// Command embedded opens a database in this process, stores a memory and recalls it:
//
//	go run ./examples/embedded
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/engramdb/engram"
	_ "github.com/engramdb/engram/embed/minilm" // puts the model into the program
	"github.com/engramdb/engram/memory"
)

func main() {
	if err := run(context.Background(), "./embedded-data"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string) error {
	db, err := engram.Open(ctx, dir, engram.Options{DefaultModel: "minilm", AutoLinks: true})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is acknowledged that is not on disk
	space, err := db.Space("default")
	if err != nil {
		return err
	}
	if _, err := space.Remember(ctx, memory.Episode{Text: "Ada fed the otters at the harbour"}, engram.WriteOptions{}); err != nil {
		return err
	}
	answer, err := space.Recall(ctx, memory.Cue{Text: "who feeds otters?"})
	if err != nil {
		return err
	}
	for _, r := range answer.Results {
		fmt.Printf("%.3f  %s\n", r.Score, r.Memory.Text)
	}
	return nil
}
