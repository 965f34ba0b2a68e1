package embed_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/engramdb/engram/embed"
)

type still struct{}

func (still) Info() embed.Info                                           { return embed.Info{Name: "still", Dimension: 1} }
func (still) Embed(context.Context, []string) (v [][]float32, err error) { return nil, nil }

// register is done once, however often the test runs: a name is registered for good.
var register = sync.OnceFunc(func() {
	embed.Register("test-still", func() (embed.Model, error) { return still{}, nil })
	embed.Register("test-broken", func() (embed.Model, error) { return nil, embed.ErrDamaged })
})

func TestRegistry(t *testing.T) {
	register()
	m, err := embed.Open("test-still")
	if err != nil || m.Info().Name != "still" {
		t.Errorf("Open gave %v, %v", m, err)
	}
	if _, err := embed.Open("test-broken"); !errors.Is(err, embed.ErrDamaged) {
		t.Errorf("a model that cannot be opened gave %v", err)
	}
	if _, err := embed.Open("test-none"); !errors.Is(err, embed.ErrUnknown) {
		t.Errorf("an unknown name gave %v", err)
	}
	if got := embed.Names(); !slices.Contains(got, "test-still") || !slices.IsSorted(got) {
		t.Errorf("Names() = %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("the same name twice did not panic")
		}
	}()
	embed.Register("test-still", nil)
}

type asking struct{ still }

func (asking) EmbedCues(context.Context, []string) ([][]float32, error) { return [][]float32{{1}}, nil }

func TestCues(t *testing.T) {
	if v, err := embed.Cues(context.Background(), still{}, nil); err != nil || len(v) != 0 {
		t.Errorf("a model like any gave %v, %v", v, err)
	}
	if v, err := embed.Cues(context.Background(), asking{}, nil); err != nil || len(v) != 1 {
		t.Errorf("a model with cues gave %v, %v", v, err)
	}
}

func TestTextError(t *testing.T) {
	err := error(&embed.TextError{Index: 3, Err: embed.ErrEmpty})
	if !errors.Is(err, embed.ErrEmpty) || err.Error() != "text 3: nothing to embed in the text" {
		t.Errorf("%v", err)
	}
}
