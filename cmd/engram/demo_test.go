package main

import (
	"slices"
	"strings"
	"testing"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func TestPassages(t *testing.T) {
	const text = "before\n\n# One #\r\nfirst\nline\n\n\n```\n# not a heading\n\nstill code\n```\n#also not\n## Two\n\xff broken\n"
	got, err := readMemories("dir/notes.md", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ title, text string }{
		{"", "before"},
		{"One", "first\nline"},
		{"One", "```\n# not a heading\n\nstill code\n```\n#also not"},
		{"Two", "\ufffd broken"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d passages, want %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		if got[i].GetTitle() != w.title || got[i].GetText() != w.text || got[i].GetStream() != "notes.md" {
			t.Errorf("passage %d is %v, want %q under %q", i, got[i], w.text, w.title)
		}
	}
	if plain, _ := readMemories("notes.txt", strings.NewReader("# no title\n\nhere")); len(plain) != 2 || plain[0].GetText() != "# no title" {
		t.Errorf("text is read as Markdown: %v", plain)
	}
}

func TestCuesAreWordsThatFindMoreThanOne(t *testing.T) {
	memories := []*engramv1.MemoryInput{
		{Text: "The herring fishing began in january"}, {Text: "Fishing herring needs patience"}, {Text: "a b c"}, {Text: "Patience, says the baker"},
	}
	got := cues(memories, 4)
	want := []string{"herring fishing began", "fishing herring patience", "patience baker"}
	if !slices.Equal(got, want) {
		t.Errorf("cues are %q, want %q", got, want)
	}
}

func TestCommandLineQuotes(t *testing.T) {
	got := commandLine([]string{"recall", "it's here", "--where", "a>=1", ""})
	if want := `recall 'it'\''s here' --where 'a>=1' ''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
