package facet

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field says what a term is a word of. The numbers lie on disk.
type field uint8

const (
	fieldTag    field = 1
	fieldPerson field = 2
	fieldStream field = 3
	fieldPlace  field = 4 // the name, case folded
	fieldKey    field = 5 // a metadata key: the slots that have it
	fieldString field = 6 // a string value of a key, alone or in a list
	fieldTrue   field = 7 // the key's value is, or its list has, true
	fieldFalse  field = 8
	fieldList   field = 9 // the key's value is a list
	fieldEnd    field = 10
)

// term is one word and the slots that have it: a cache line.
type term struct {
	posting
	text  string
	key   uint32 // for fields below a metadata key, the term of that key
	field field
}

const noTerm = ^uint32(0)

// termChunk is how many terms lie in one array. Chunks do not move, so a
// million terms are never copied at once.
const termChunk = 256

// dictionary gives each term its number and keeps what hangs on a metadata key.
type dictionary struct {
	chunks [][]term
	free   []uint32 // numbers whose term is gone
	count  int      // numbers ever given
	words  [fieldKey + 1]map[string]uint32
	keys   map[uint32]*keyFacet // by term of the key
	stale  []*keyFacet          // that have strings gone
}

// keyFacet is what is known of the values of one metadata key.
type keyFacet struct {
	strings map[string]uint32
	ordered sorted[string]               // the strings again, for ranges
	special [fieldEnd - fieldTrue]uint32 // term + 1 of true, false and list
	alone   numbers                      // values that are numbers
	texts   texts                        // values that are strings
	listed  numbers                      // numbers in lists
	gone    []string                     // strings that went; ordered still has them
}

func (d *dictionary) at(id uint32) *term { return &d.chunks[id/termChunk][id%termChunk] }

// find gives the term of a word, or noTerm.
func (d *dictionary) find(f field, key uint32, text string) uint32 {
	if f <= fieldKey {
		if id, ok := d.words[f][text]; ok {
			return id
		}
		return noTerm
	}
	k := d.keys[key]
	if k == nil {
		return noTerm
	}
	if f == fieldString {
		if id, ok := k.strings[text]; ok {
			return id
		}
		return noTerm
	}
	return k.special[f-fieldTrue] - 1
}

// findOrAdd gives the term of a word, made if need be. The text is copied: the
// caller's may be part of something large.
func (d *dictionary) findOrAdd(f field, key uint32, text string) uint32 {
	if id := d.find(f, key, text); id != noTerm {
		return id
	}
	id := d.newTerm()
	text = strings.Clone(text)
	*d.at(id) = term{field: f, key: key, text: text}
	switch {
	case f <= fieldKey:
		if d.words[f] == nil {
			d.words[f] = make(map[string]uint32)
		}
		d.words[f][text] = id
		if f == fieldKey {
			d.addKey(id)
		}
	case f == fieldString:
		k := d.keys[key]
		if k.strings == nil {
			k.strings = make(map[string]uint32)
		}
		k.strings[text] = id
		k.ordered.add(text, id)
	default:
		d.keys[key].special[f-fieldTrue] = id + 1
	}
	return id
}

func (d *dictionary) addKey(id uint32) {
	if d.keys == nil {
		d.keys = make(map[uint32]*keyFacet)
	}
	d.keys[id] = &keyFacet{ordered: sorted[string]{compare: strings.Compare}}
}

func (d *dictionary) newTerm() uint32 {
	if n := len(d.free); n > 0 {
		id := d.free[n-1]
		d.free = d.free[:n-1]
		return id
	}
	id := uint32(d.count)
	d.count++
	c := int(id / termChunk)
	if c == len(d.chunks) {
		size := termChunk
		if c == 0 {
			size = 4 // a small space has few words
		}
		d.chunks = append(d.chunks, make([]term, 0, size))
	}
	d.chunks[c] = append(d.chunks[c], term{})
	return id
}

// drop takes a slot off a term and forgets the term when it was the last. Keys
// that lost a string are marked; sweep mends them.
func (d *dictionary) drop(id, slot uint32) {
	t := d.at(id)
	t.remove(slot)
	if t.n > 0 {
		return
	}
	switch {
	case t.field <= fieldKey:
		delete(d.words[t.field], t.text)
		if t.field == fieldKey {
			delete(d.keys, id)
		}
	case d.keys[t.key] == nil: // the key went first
	case t.field == fieldString:
		k := d.keys[t.key]
		delete(k.strings, t.text)
		if k.gone == nil {
			d.stale = append(d.stale, k)
		}
		k.gone = append(k.gone, t.text)
	default:
		d.keys[t.key].special[t.field-fieldTrue] = 0
	}
	*t = term{}
	d.free = append(d.free, id)
}

// fewGone is up to how many strings are taken out of the sorted ones one by
// one, which moves what lies behind each; more are taken out in one walk.
const fewGone = 16

// sweep takes the strings that went out of the sorted ones. It runs before any
// word is added, so a number that went has no term yet.
func (d *dictionary) sweep() {
	for _, k := range d.stale {
		if len(k.gone) > fewGone {
			k.ordered.keep(func(_ string, id uint32) bool { return d.at(id).n > 0 })
		} else {
			for _, text := range k.gone {
				k.ordered.remove(text)
			}
		}
		k.gone = nil
	}
	clear(d.stale)
	d.stale = d.stale[:0]
}

func (d *dictionary) terms() int { return d.count - len(d.free) }

// folded brings a place name to the form in which names that differ in case only
// are the same (simple case folding, as strings.EqualFold).
func folded(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

// foldRune gives the least of the runes that fold to each other; for letters of
// ASCII that is the upper case one.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// sortedKeys gives the keys of metadata in order, in the memory of buf.
func sortedKeys(m map[string]any, buf []string) []string {
	buf = buf[:0]
	for k := range m {
		buf = append(buf, k)
	}
	slices.Sort(buf)
	return buf
}
