package engramclient_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuide wants each piece of Go on the client's page to stand in the examples,
// which are run; a whole program is examples/client.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../../docs/guide/go-client.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("../../examples/client/main.go")
	if err != nil {
		t.Fatal(err)
	}
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Error("the page has no Go")
	}
	for _, b := range blocks {
		if strings.HasPrefix(b[1], "package main\n") && strings.HasSuffix(string(program), b[1]) {
			continue
		}
		if !strings.Contains(flat(string(examples)), flat(b[1])) {
			t.Errorf("not in the examples:\n%s", b[1])
		}
	}
}
