// Command client stores a memory in a running server and recalls it, with the Go client:
//
//	engram serve --data ./data &
//	go run ./examples/client
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	engramclient "github.com/engramdb/engram/clients/go"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func main() {
	address := "127.0.0.1:7432"
	if a := os.Getenv("ENGRAM_SERVER"); a != "" {
		address = a
	}
	c, err := engramclient.New(address, engramclient.Options{Key: os.Getenv("ENGRAM_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	_, err = c.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{
		Id: "chart", Text: "Mara found the old chart in the boathouse", People: []string{"Mara"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	a, err := c.Recall(ctx, &engramv1.RecallRequest{Space: "default", Cue: &engramv1.Cue{Text: "where was the chart?"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range a.GetResults() {
		fmt.Printf("%.3f  %s\n", r.GetScore(), r.GetMemory().GetText())
	}
}
