package engram_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/static"
	"github.com/engramdb/engram/memory"
)

var asCar = memory.Cue{Text: "who drove a car", Explain: true}

// TestWidening: with a thesaurus, a cue finds what is said in near words, and says so;
// without one, or in another language, or switched off, it does not.
func TestWidening(t *testing.T) {
	ctx := context.Background()
	db := openWith(t, vfs.NewMem(), engram.Options{Thesaurus: static.Name})
	s := mainSpace(t, db)
	remember(t, s, memory.Episode{ID: "a", Text: "Ada bought an automobile"})
	remember(t, s, memory.Episode{ID: "b", Text: "Bea bought a boat"})
	r, err := s.Recall(ctx, asCar)
	check(t, err)
	if len(r.Results) == 0 || r.Results[0].Memory.ID != "a" {
		t.Fatalf("found %+v", r.Results)
	}
	if note := r.Results[0].Parts[0].Note; !strings.Contains(note, "car~automobil") {
		t.Errorf("explained by %q", note)
	}
	off := asCar
	off.Stages.NoWidening = true
	if got := recalled(t, s, off); len(got) != 0 {
		t.Errorf("switched off: %v", got)
	}
	_, _, err = db.CreateSpace(ctx, "german", memory.Settings{Language: "de"})
	check(t, err)
	german, err := db.Space("german")
	check(t, err)
	remember(t, german, memory.Episode{ID: "a", Text: "automobile"})
	if got := recalled(t, german, memory.Cue{Text: "car"}); len(got) != 0 {
		t.Errorf("in another language: %v", got)
	}
	bare := mainSpace(t, openWith(t, vfs.NewMem(), engram.Options{}))
	remember(t, bare, memory.Episode{ID: "a", Text: "Ada bought an automobile"})
	if got := recalled(t, bare, asCar); len(got) != 0 {
		t.Errorf("without a thesaurus: %v", got)
	}
}

// TestUnknownThesaurus: a name that nothing has is told when the database opens; "none"
// is none.
func TestUnknownThesaurus(t *testing.T) {
	_, err := engram.Open(context.Background(), "data", engram.Options{FS: vfs.NewMem(), Thesaurus: "roget"})
	mustCode(t, err, "option_out_of_range")
	openWith(t, vfs.NewMem(), engram.Options{Thesaurus: engram.ModelNone})
}

var thesauri atomic.Int64

// fakeThesaurus registers one that fails or not, and counts how often it is made.
func fakeThesaurus(fails error) (name string, made *atomic.Int64) {
	made = new(atomic.Int64)
	name = "fake thesaurus " + string(rune('a'+thesauri.Add(1)))
	embed.RegisterThesaurus(name, embed.ThesaurusOf{Language: "en", Make: func(class func(string) string) (embed.Thesaurus, error) {
		made.Add(1)
		if class("cars") != "car" || class("the") != "" {
			return nil, errors.New("no classes of stems")
		}
		return carsAre(class("automobile")), fails
	}})
	return name, made
}

// carsAre is a thesaurus of one pair.
type carsAre string

func (c carsAre) Near(class string, n int) []embed.Neighbour {
	if class != "car" || n < 1 {
		return nil
	}
	return []embed.Neighbour{{Word: string(c), Cosine: 0.9, Weight: 0.6}}
}

// TestThesaurusIsMadeOnce: for all spaces and all that ask at once, and not before a space is opened.
func TestThesaurusIsMadeOnce(t *testing.T) {
	name, made := fakeThesaurus(nil)
	fs := vfs.NewMem()
	db := openWith(t, fs, engram.Options{Thesaurus: name})
	if made.Load() != 0 {
		t.Error("made before a space was opened")
	}
	var all sync.WaitGroup
	for _, space := range []memory.SpaceName{"one", "two", "three"} {
		s := spaceOf(t, db, space, 0)
		remember(t, s, memory.Episode{ID: "a", Text: "automobile"})
		all.Go(func() {
			if r, err := s.Recall(context.Background(), asCar); err != nil || len(r.Results) != 1 {
				t.Errorf("%v %v", r.Results, err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
}

// TestThesaurusThatFails: the words of cues then stand for themselves.
func TestThesaurusThatFails(t *testing.T) {
	name, made := fakeThesaurus(errors.New("damaged"))
	s := mainSpace(t, openWith(t, vfs.NewMem(), engram.Options{Thesaurus: name}))
	remember(t, s, memory.Episode{ID: "a", Text: "automobile"})
	remember(t, s, memory.Episode{ID: "b", Text: "car"})
	for range 2 {
		if got := recalled(t, s, asCar); !slices.Equal(got, []memory.ID{"b"}) {
			t.Errorf("found %v", got)
		}
	}
	if n := made.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
}
