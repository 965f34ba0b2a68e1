package bert

import (
	"context"
	"slices"
	"testing"

	"github.com/engramdb/engram/embed"
)

// TestAside: between pieces of work a model lets others go first, on one goroutine, and the
// vectors are the same.
func TestAside(t *testing.T) {
	texts := []string{"the old bridge", "a new bridge over the river", "nobody was there"}
	m := opened(t, Options{Threads: 2})
	want := mustEmbed(t, m, texts)
	called := 0 // the race detector would tell of two goroutines
	ctx := embed.Aside(context.Background(), func() { called++ })
	got, err := m.Embed(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("the vector of %q is another", texts[i])
		}
	}
	if least := 4 * m.config.Layers; called < least {
		t.Errorf("it was called %d times, want at least %d", called, least)
	}
	called = 0
	mustEmbed(t, m, texts)
	if called != 0 {
		t.Error("a later call without it calls it")
	}
}
