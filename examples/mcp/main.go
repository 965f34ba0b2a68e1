// Command mcp stores a memory and recalls it as a program with a language model does: through
// the tools of the Model Context Protocol, with the official SDK's client. It talks to
// a running server, or with "stdio" starts one of its own:
//
//	go run ./examples/mcp
//	go run ./examples/mcp stdio
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	address := "127.0.0.1:7432"
	if a := os.Getenv("ENGRAM_SERVER"); a != "" {
		address = a
	}
	var door mcp.Transport = &mcp.StreamableClientTransport{Endpoint: "http://" + address + "/mcp"}
	if len(os.Args) > 1 && os.Args[1] == "stdio" {
		door = &mcp.CommandTransport{Command: exec.Command("engram", "mcp", "--data", "./mcp-data")}
	}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil).Connect(ctx, door, nil)
	if err != nil {
		return err
	}
	tools, err := s.ListTools(ctx, nil)
	if err != nil {
		return err
	}
	for _, t := range tools.Tools {
		fmt.Println("tool", t.Name)
	}
	if _, err := call(ctx, s, "remember", map[string]any{"text": "Tomek repaired the bilge pump", "people": []string{"Tomek"}}); err != nil {
		return err
	}
	answer, err := call(ctx, s, "recall", map[string]any{"text": "who mended the pump?", "limit": 1})
	if err != nil {
		return err
	}
	fmt.Println(answer)
	return s.Close()
}

// call gives the structured answer of a tool, as JSON.
func call(ctx context.Context, s *mcp.ClientSession, tool string, arguments map[string]any) (string, error) {
	r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	if r.IsError {
		text, _ := json.Marshal(r.Content)
		return "", fmt.Errorf("%s: %s", tool, text)
	}
	body, err := json.MarshalIndent(r.StructuredContent, "", "  ")
	return string(body), err
}
