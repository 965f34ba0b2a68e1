package memory

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The rules by which the engine links memories, beside those of patterns.
const (
	RuleNext    = "next"    // the memory before it in its stream to it
	RuleAnswer  = "answer"  // the same once more, when the one before asks something
	RulePeople  = "people"  // it to the latest memory before it with the same person
	RulePlace   = "place"   // it to the latest memory before it at the same place
	RuleShares  = "shares"  // it to the latest memory before it with the same rare name or id; off by default
	RuleSimilar = "similar" // it to the memories before it whose vectors are nearest; off by default
)

// LinkRules says of each rule whether it is on when a space does not say.
func LinkRules() map[string]bool {
	return map[string]bool{RuleNext: true, RuleAnswer: true, RuleMentions: true, RulePeople: true, RulePlace: true, RuleShares: false, RuleSimilar: false}
}

// LinkSettings say which links the engine makes by itself in a space.
type LinkSettings struct {
	// Rules switches rules on and off by name, those of LinkRules and of Patterns.
	Rules map[string]bool `cbor:"1,keyasint,omitempty"`
	// Patterns are rules of the space's own, at most MaxPatterns.
	Patterns []LinkPattern `cbor:"2,keyasint,omitempty"`
}

// LinkPattern is a rule of a space's own: a memory is linked to the latest one before
// it whose text has the same words, where the pattern matches them.
type LinkPattern struct {
	Rule    string `cbor:"1,keyasint"` // its name: 1-32 of a-z 0-9 _ -, beginning with a letter
	Pattern string `cbor:"2,keyasint"` // RE2; it matches at least a letter or a digit
	Type    string `cbor:"3,keyasint"` // of the links; default the rule's name
}

// Bounds of patterns.
const (
	MaxPatterns     = 16
	MaxPatternBytes = 256
)

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// On says whether a rule is on.
func (s *LinkSettings) On(rule string) bool {
	if s != nil {
		if on, said := s.Rules[rule]; said {
			return on
		}
	}
	on, builtIn := LinkRules()[rule]
	return on || !builtIn
}

// normalize gives settings of their own in canonical form; nil where they say nothing.
func (s *LinkSettings) normalize() (*LinkSettings, error) {
	if s == nil || len(s.Rules) == 0 && len(s.Patterns) == 0 {
		return nil, nil
	}
	const at = "settings.links"
	out := &LinkSettings{Rules: maps.Clone(s.Rules), Patterns: slices.Clone(s.Patterns)}
	if len(out.Patterns) > MaxPatterns {
		return nil, Invalid("list_too_long", at+".patterns", "%s.patterns has %d entries; at most %d are kept", at, len(out.Patterns), MaxPatterns)
	}
	known := LinkRules()
	for i := range out.Patterns {
		p := &out.Patterns[i]
		field := at + ".patterns[" + itoa(i) + "]"
		if err := p.normalize(field); err != nil {
			return nil, err
		}
		if _, taken := known[p.Rule]; taken {
			return nil, Invalid("rule_taken", field+".rule", "%s.rule is %q, which is the name of another rule", field, p.Rule)
		}
		known[p.Rule] = true
	}
	for _, rule := range slices.Sorted(maps.Keys(out.Rules)) {
		if _, ok := known[rule]; !ok {
			return nil, Invalid("rule_unknown", at+".rules."+rule, "%s.rules has %.48q; there is %s", at, rule, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return out, nil
}

func (p *LinkPattern) normalize(field string) error {
	if !ruleName.MatchString(p.Rule) {
		return Invalid("rule_name_invalid", field+".rule", "%s.rule is %.48q; it is 1-32 of a-z 0-9 _ -, beginning with a letter", field, p.Rule)
	}
	if p.Type == "" {
		p.Type = p.Rule
	}
	if err := checkName(field+".type", p.Type, false); err != nil {
		return err
	}
	if len(p.Pattern) > MaxPatternBytes {
		return Invalid("pattern_invalid", field+".pattern", "%s.pattern has %d bytes; at most %d are kept", field, len(p.Pattern), MaxPatternBytes)
	}
	re, err := regexp.Compile(p.Pattern)
	if err != nil {
		return Invalid("pattern_invalid", field+".pattern", "%s.pattern: %v", field, err).Hinted("write RE2, such as TICK-[0-9]+")
	}
	if re.MatchString("") {
		return Invalid("pattern_invalid", field+".pattern", "%s.pattern matches nothing at all: it would match everywhere", field)
	}
	return nil
}
