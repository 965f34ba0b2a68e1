package embed

import (
	"fmt"
	"maps"
	"slices"
)

// Neighbour is a word, or a class of words, near to another.
type Neighbour struct {
	Word   string
	Cosine float32
	// Weight is what an occurrence of the word counts, between 0 and 1, when the other was asked for.
	Weight float32
}

// Thesaurus tells which classes of words are near to which, such as stems: by it the words of a cue are widened. It is
// safe for concurrent use.
type Thesaurus interface {
	// Near returns the classes nearest to a class, nearest first, at most n, the class itself not among them; none for
	// one that it does not know. The slice is shared: only read it.
	Near(class string, n int) []Neighbour
}

// MakeThesaurus makes a thesaurus of classes: class gives that of a word in lower case, such as its stem, or "" for a
// word that is to be left out, such as a stop word.
type MakeThesaurus func(class func(word string) string) (Thesaurus, error)

// ThesaurusOf is a language and what makes a thesaurus of its words.
type ThesaurusOf struct {
	Language string // ISO 639-1
	Make     MakeThesaurus
}

// thesauri are the registered ones; registry's lock guards them.
var thesauri = map[string]ThesaurusOf{}

// RegisterThesaurus makes a thesaurus known under a name, as Register does a model. A second one of the same name is a
// bug and panics.
func RegisterThesaurus(name string, t ThesaurusOf) {
	registry.Lock()
	defer registry.Unlock()
	if _, twice := thesauri[name]; twice {
		panic("embed: thesaurus " + name + " registered twice")
	}
	thesauri[name] = t
}

// FindThesaurus returns what is registered under a name, or ErrUnknown.
func FindThesaurus(name string) (ThesaurusOf, error) {
	registry.Lock()
	t, ok := thesauri[name]
	registry.Unlock()
	if !ok {
		return t, fmt.Errorf("%w: thesaurus %q (known: %v)", ErrUnknown, name, Thesauri())
	}
	return t, nil
}

// Thesauri lists the names of the registered thesauri in alphabetical order.
func Thesauri() []string {
	registry.Lock()
	defer registry.Unlock()
	return slices.Sorted(maps.Keys(thesauri))
}
