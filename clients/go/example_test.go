package engramclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// An exampleServer is a server that an example talks to; usually there is one at
// 127.0.0.1:7432.
type exampleServer struct {
	address string
	ends    []func()
}

func (s *exampleServer) Fatal(args ...any) { log.Fatal(args...) }
func (s *exampleServer) Cleanup(f func())  { s.ends = append(s.ends, f) }

func (s *exampleServer) stop() {
	for _, f := range s.ends {
		f()
	}
}

func serve() *exampleServer {
	s := &exampleServer{}
	s.address = start(s)
	return s
}

func Example() {
	server := serve()
	defer server.stop()
	ctx := context.Background()

	c, err := engramclient.New(server.address, engramclient.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
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
		fmt.Println(r.GetMemory().GetId(), "-", r.GetMemory().GetText())
	}
	// Output: chart - Mara found the old chart in the boathouse
}

func ExampleClient_Memories() {
	server := serve()
	defer server.stop()
	c, err := engramclient.New(server.address, engramclient.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for _, text := range []string{"low tide at six", "the pump was repaired"} {
		if _, err := c.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: text}}); err != nil {
			log.Fatal(err)
		}
	}
	for m, err := range c.Memories(ctx, &engramv1.ListMemoriesRequest{Space: "default"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.GetText())
	}
	// Output:
	// low tide at six
	// the pump was repaired
}

func ExampleClient_Events() {
	server := serve()
	defer server.stop()
	c, err := engramclient.New(server.address, engramclient.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: "low tide at six"}}); err != nil {
		log.Fatal(err)
	}
	start := uint64(0) // from the beginning; left out: from now on
	for e, err := range c.Events(ctx, &engramv1.SubscribeRequest{Space: "default", After: &start}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.GetType(), e.GetMemory().GetText())
		break
	}
	// Output: remembered low tide at six
}

func ExampleClient_Export() {
	server := serve()
	defer server.stop()
	c, err := engramclient.New(server.address, engramclient.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Remember(ctx, &engramv1.RememberRequest{Space: "default", Memory: &engramv1.MemoryInput{Text: "low tide at six"}}); err != nil {
		log.Fatal(err)
	}
	file := io.Discard // or one of os.Create
	end, err := c.Export(ctx, "default", file, engramclient.ExportOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(end.Memories, "memories")
	// Output: 1 memories
}

// Errors are the server's own, with what a program can act on.
func Example_errors() {
	server := serve()
	defer server.stop()
	c, err := engramclient.New(server.address, engramclient.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.GetMemory(context.Background(), &engramv1.GetMemoryRequest{Space: "default", Id: "lost"})
	var e *memory.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind, e.Code)
	}
	// Output: not_found memory_not_found
}
