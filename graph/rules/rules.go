package rules

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
)

// Version names the rules as they stand. Links that they made are in the record;
// a changed rule gets a new version and changes no history.
const Version = 1

// The names of the rules, as a link's Rule says them.
const (
	RuleNext     = memory.RuleNext
	RuleAnswer   = memory.RuleAnswer
	RuleMentions = memory.RuleMentions
	RulePeople   = memory.RulePeople
	RulePlace    = memory.RulePlace
	RuleShares   = memory.RuleShares
	RuleSimilar  = memory.RuleSimilar
)

// Proposal is a link that a rule would make between the memory that was asked
// about and another node.
type Proposal struct {
	Other   memory.Ordinal
	Back    bool // from Other to the memory, else from the memory to Other
	Type    string
	Rule    string
	Weight  float64
	Because string // the words that decided it
	Version uint32 // of the rule
}

// Lookup is what the rules ask of a space, as of one view. None of it may give
// the memory itself, or what is suppressed or gone.
type Lookup interface {
	// Previous gives the last memory of a stream; 0: there is none.
	Previous(stream string) memory.Ordinal
	// Asks says whether the text of a memory Asks.
	Asks(n memory.Ordinal) bool
	// Named gives the known names in a text: of entities, their aliases, titles.
	Named(text string, give func(Mention) bool)
	// Frequency says in how many memories words stand, one after the other or
	// (an upper bound) all of them, and how many memories there are.
	Frequency(words string) (have, of int)
	// Holding gives memories whose text Holds these words, the latest first, at most
	// so many.
	Holding(words string, most int) []memory.Ordinal
	// WithPerson and AtPlace give the latest memory with a person or at a place; 0.
	WithPerson(name string) memory.Ordinal
	AtPlace(name string) memory.Ordinal
}

// Set is the rules of a space. Zero means default.
type Set struct {
	// Off names rules that are not applied.
	Off []string
	// Shares links memories that share a rare name, date or id though nothing is
	// called so. It is off by default: see the package doc.
	Shares bool
	// Similar links memories whose vectors are near. The caller looks for them, once
	// there is a vector. It is off by default: see the package doc.
	Similar bool
	// Most is how many links are made for a memory, at most and by default LinksMost.
	Most int
	// Patterns are rules of the space's own.
	Patterns []Pattern
}

// Pattern is a rule of a space's own: it links what holds the same words where they
// match.
type Pattern struct {
	Rule, Type string
	Match      *regexp.Regexp
	Version    uint32
}

// SetOf is the rules that the settings of a space say; version is that of the settings,
// which is the version of its patterns. What is not said is as by default.
func SetOf(s *memory.LinkSettings, version uint32) (set Set) {
	for rule := range memory.LinkRules() {
		if !s.On(rule) {
			set.Off = append(set.Off, rule)
		}
	}
	slices.Sort(set.Off)
	set.Shares, set.Similar = s.On(RuleShares), s.On(RuleSimilar)
	if s == nil {
		return set
	}
	for _, p := range s.Patterns {
		if re, err := regexp.Compile(p.Pattern); err == nil && s.On(p.Rule) { // it was checked when it was set
			set.Patterns = append(set.Patterns, Pattern{p.Rule, p.Type, re, version})
		}
	}
	return set
}

// Bounds of what is made for one memory.
const (
	LinksMost    = 8
	mentionsMost = 4 // of names in its text
	namedMost    = 3 // of older memories that say its title
	sharesMost   = 2
	peopleMost   = 1
)

// Propose says which links the rules make for a memory, the surest rule first,
// and none twice.
func (s Set) Propose(e *memory.Episode, l Lookup) []Proposal {
	p := proposer{set: s, episode: e, lookup: l}
	for _, rule := range []struct {
		name string
		make func(*proposer)
	}{{RuleNext, (*proposer).next}, {RuleAnswer, (*proposer).answer}, {RuleMentions, (*proposer).mentions}, {RuleMentions, (*proposer).named},
		{RulePeople, (*proposer).people}, {RulePlace, (*proposer).place}} {
		if !slices.Contains(s.Off, rule.name) {
			p.rule, p.version = rule.name, Version
			rule.make(&p)
		}
	}
	for i := range s.Patterns {
		p.rule, p.version = s.Patterns[i].Rule, s.Patterns[i].Version
		p.pattern(&s.Patterns[i])
	}
	if s.Shares {
		p.rule, p.version = RuleShares, Version
		p.shares()
	}
	most := min(cmp.Or(max(s.Most, 0), LinksMost), LinksMost)
	return p.made[:min(len(p.made), most)]
}

type proposer struct {
	set     Set
	episode *memory.Episode
	lookup  Lookup
	rule    string
	version uint32
	made    []Proposal
}

// add makes a link unless there is one to the same node by the same rule.
func (p *proposer) add(x Proposal) bool {
	x.Rule, x.Version = p.rule, p.version
	if x.Other == 0 || slices.ContainsFunc(p.made, func(o Proposal) bool { return o.Other == x.Other && o.Type == x.Type && o.Back == x.Back }) {
		return false
	}
	p.made = append(p.made, x)
	return true
}

// linked says whether there is a link to a node already.
func (p *proposer) linked(n memory.Ordinal) bool {
	return slices.ContainsFunc(p.made, func(o Proposal) bool { return o.Other == n })
}

// next links the last memory of the stream to this one.
func (p *proposer) next() {
	if p.episode.Stream != "" {
		p.add(Proposal{Other: p.lookup.Previous(p.episode.Stream), Back: true, Type: graph.TypeNext, Weight: 1, Because: p.episode.Stream})
	}
}

// answer links the last memory of the stream to this one once more when it asks
// something: what comes after a question is, more often than not, its answer.
func (p *proposer) answer() {
	if p.episode.Stream == "" {
		return
	}
	if n := p.lookup.Previous(p.episode.Stream); n != 0 && p.lookup.Asks(n) {
		p.add(Proposal{Other: n, Back: true, Type: graph.TypeAnswer, Weight: 1, Because: "?"})
	}
}

// Asks says whether a text asks something, by its question marks.
func Asks(text string) bool { return strings.ContainsFunc(text, isQuestionMark) }

// EndsAsking says whether a text ends with a question.
func EndsAsking(text string) bool {
	c, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(text, unicode.IsSpace))
	return isQuestionMark(c)
}

func isQuestionMark(c rune) bool {
	return c == '?' || c == '？' || c == '؟' || c == '՞' || c == '፧'
}

// mentions links this memory to what it names: the rarest names first, as a text
// that names forty things is about none of them.
func (p *proposer) mentions() {
	type found struct {
		text  string
		nodes []memory.Ordinal
		have  int
	}
	var all []found
	text := p.words()
	p.lookup.Named(text, func(m Mention) bool {
		words := text[m.From:m.To]
		if have, ok := p.telling(m, words); ok && !slices.ContainsFunc(all, func(f found) bool { return f.text == words }) {
			all = append(all, found{words, m.Nodes, have})
		}
		return len(all) < spansMost
	})
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.have, b.have) })
	made := 0
	for _, f := range all {
		for _, n := range f.nodes {
			if made < mentionsMost && p.add(Proposal{Other: n, Type: graph.TypeMentions, Weight: 1 / float64(len(f.nodes)), Because: f.text}) {
				made++
			}
		}
	}
}

// words is the text that the rules read.
func (p *proposer) words() string { return Words(p.episode) }

// Words is the text of a memory that the rules read.
func Words(e *memory.Episode) string {
	text := e.Text
	if f := e.Fact; f != nil {
		text += "\n" + f.Subject + " " + f.Attribute + " " + f.Value
	}
	return text[:min(len(text), lookedAt)]
}

// telling says whether words in a text are a name there, and in how many memories
// they stand. One word without a capital letter is a word, though something
// may be called so; and so is what stands everywhere.
func (p *proposer) telling(m Mention, words string) (have int, ok bool) {
	if m.Words == 1 && !m.Raised {
		return 0, false
	}
	have, of := p.lookup.Frequency(words)
	return have, !Common(have, of)
}

// Common says whether what stands in so many of so many memories is too common
// to link by: in more than 20 and in more than one of fifty.
func Common(have, of int) bool { return have > 20 && have*50 > of }

// named links older memories to this one where they say its title.
func (p *proposer) named() {
	title := Title(p.episode.Title)
	if pathOf(title) == nil {
		return
	}
	if have, of := p.lookup.Frequency(title); Common(have, of) {
		return
	}
	for _, n := range p.lookup.Holding(title, namedMost) {
		p.add(Proposal{Other: n, Back: true, Type: graph.TypeMentions, Weight: 1, Because: title})
	}
}

// Title is the part of a title that other texts say: without what stands in
// brackets at its end to tell it from others, "Mercury (planet)".
func Title(title string) string {
	if n := len(title); n > 0 && title[n-1] == ')' {
		for i := n - 1; i > 0; i-- {
			if title[i] == '(' && title[i-1] == ' ' {
				return title[:i-1]
			}
		}
	}
	return title
}

// people links this memory to the one before it with the same people, if the
// stream does not.
func (p *proposer) people() {
	made := 0
	for _, name := range p.episode.People {
		if n := p.lookup.WithPerson(name); made < peopleMost && !p.linked(n) &&
			p.add(Proposal{Other: n, Type: graph.TypePeople, Weight: 1, Because: name}) {
			made++
		}
	}
}

func (p *proposer) place() {
	if at := p.episode.Place; at != nil && at.Name != "" {
		if n := p.lookup.AtPlace(at.Name); !p.linked(n) {
			p.add(Proposal{Other: n, Type: graph.TypePlace, Weight: 1, Because: at.Name})
		}
	}
}

// pattern links memories that hold the same words where a pattern matches them.
func (p *proposer) pattern(x *Pattern) {
	made, text := 0, p.words()
	var seen []string
	for _, at := range x.Match.FindAllStringIndex(text, spansMost) {
		words := text[at[0]:at[1]]
		if made == sharesMost || slices.Contains(seen, words) {
			continue
		}
		seen = append(seen, words)
		if have, of := p.lookup.Frequency(words); have == 0 || Common(have, of) {
			continue
		}
		for _, n := range p.holdingBefore(words) {
			if p.add(Proposal{Other: n, Type: x.Type, Weight: 1, Because: words}) {
				made++
			}
		}
	}
}

// Ordered is a Lookup that knows which memories came before the one that is asked
// about. Without it all others did.
type Ordered interface {
	Earlier(memory.Ordinal) bool
}

// holdingLooked is how many holders of some words are looked at for one that came before.
const holdingLooked = 24

// holdingBefore is the latest memory before this one that holds some words, if any.
func (p *proposer) holdingBefore(words string) []memory.Ordinal {
	o, ok := p.lookup.(Ordered)
	if !ok {
		return p.lookup.Holding(words, 1)
	}
	for _, n := range p.lookup.Holding(words, holdingLooked) {
		if o.Earlier(n) {
			return []memory.Ordinal{n}
		}
	}
	return nil
}

// holdersMost is how many memories may hold a span for it to link them.
const holdersMost = 5

// shares links memories that hold the same rare span.
func (p *proposer) shares() {
	made := 0
	text := p.words()
	for _, s := range Spans(text) {
		if made == sharesMost {
			return
		}
		words := text[s.From:s.To]
		if s.Kind == SpanDate || s.Kind == SpanNumber {
			continue // who did something on the same day has nothing to do with it
		}
		if have, _ := p.lookup.Frequency(words); have == 0 || have > holdersMost {
			continue
		}
		for _, n := range p.holdingBefore(words) {
			if !p.linked(n) && p.add(Proposal{Other: n, Type: graph.TypeShares, Weight: 1, Because: words}) {
				made++
			}
		}
	}
}

// EntityLinksMost is how many memories are linked to an entity that comes after them.
const EntityLinksMost = 64

// ProposeEntity says which memories the rules link to an entity: those that say its
// name or an alias, of each name the latest. Memories that come later find it by
// themselves.
func (s Set) ProposeEntity(e *memory.Entity, l Lookup) []Proposal {
	p := proposer{set: s, lookup: l, rule: RuleMentions, version: Version}
	if slices.Contains(s.Off, RuleMentions) {
		return nil
	}
	for _, name := range append([]string{e.Name}, e.Aliases...) {
		if pathOf(name) == nil {
			continue
		}
		if have, of := l.Frequency(name); have == 0 || Common(have, of) {
			continue
		}
		for _, n := range l.Holding(name, EntityLinksMost-len(p.made)) {
			p.add(Proposal{Other: n, Back: true, Type: graph.TypeMentions, Weight: 1, Because: name})
		}
		if len(p.made) >= EntityLinksMost {
			break
		}
	}
	return p.made
}

// NamedBy gives the nodes whose name a cue says, in order of the cue, none twice;
// the same words are a name as in a text. A cue that names what it seeks needs no
// links to find it: see graph.Hints.
func NamedBy(cue string, l Lookup) []memory.Ordinal {
	p := proposer{lookup: l}
	var nodes []memory.Ordinal
	l.Named(cue, func(m Mention) bool {
		if _, ok := p.telling(m, cue[m.From:m.To]); ok {
			for _, n := range m.Nodes {
				if !slices.Contains(nodes, n) {
					nodes = append(nodes, n)
				}
			}
		}
		return len(nodes) < spansMost
	})
	return nodes
}

// Holds says whether a text holds words one after the other as a name: more than
// one, or one with a capital letter or digit. It is for a Lookup whose index knows
// words but not their order.
func Holds(text, words string) bool {
	x := NewNames()
	if !x.Add(words, 1) {
		return false
	}
	found := false
	x.Find(text, func(m Mention) bool { found = m.Words > 1 || m.Raised; return !found })
	return found
}
