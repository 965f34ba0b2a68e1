package memory

import (
	"time"
)

// Validity is the interval in which a link holds in the world; a nil end is open.
type Validity struct {
	From *time.Time `cbor:"1,keyasint,omitempty"`
	To   *time.Time `cbor:"2,keyasint,omitempty"`
}

// normalizeValidity puts an interval of its own in the place of the caller's.
func normalizeValidity(field string, at **Validity) error {
	if *at == nil {
		return nil
	}
	own := **at
	if err := own.normalize(field); err != nil {
		return err
	}
	*at = &own
	return nil
}

func (v *Validity) normalize(field string) error {
	for _, end := range []struct {
		field string
		t     **time.Time
	}{{field + ".from", &v.From}, {field + ".to", &v.To}} {
		if *end.t == nil {
			continue
		}
		t, err := checkTime(end.field, **end.t)
		if err != nil {
			return err
		}
		*end.t = &t
	}
	if v.From != nil && v.To != nil && v.To.Before(*v.From) {
		return Invalid("interval_backwards", field, "%s ends at %s, before it begins at %s", field, stamp(*v.To), stamp(*v.From))
	}
	return nil
}

// Link is a typed, weighted, directed edge between two nodes of a space.
// Parallel links are allowed: a rating or a transaction is a link of its own.
type Link struct {
	ID       ID        `cbor:"-"`
	From     ID        `cbor:"-"`
	To       ID        `cbor:"-"`
	Type     string    `cbor:"1,keyasint"`
	Weight   float64   `cbor:"2,keyasint"` // finite and >= 0
	Metadata Metadata  `cbor:"3,keyasint,omitempty"`
	Valid    *Validity `cbor:"4,keyasint,omitempty"`
	Rule     string    `cbor:"5,keyasint"` // what made it: RuleCaller, RuleMentions, ...
	// RuleVersion is the version of the rule: of a rule of the space's own that of the
	// space's settings, 0 for what a caller said.
	RuleVersion uint32 `cbor:"-"`

	LSN      LSN       `cbor:"-"`
	Version  uint32    `cbor:"-"`
	StoredAt time.Time `cbor:"-"`
}

// The rules that make links.
const (
	RuleCaller   = "caller"   // the caller said so
	RuleMentions = "mentions" // an entity that the memory names
)

// Normalize checks the link's own fields.
func (l *Link) Normalize() error {
	if l.ID != "" {
		if err := l.ID.Check("id"); err != nil {
			return err
		}
	}
	if err := l.From.Check("from"); err != nil {
		return err
	}
	d := LinkDraft{To: l.To, Type: l.Type, Weight: &l.Weight, Metadata: l.Metadata, Valid: l.Valid}
	if err := l.normalizeDraft(&d); err != nil {
		return err
	}
	l.Metadata, l.Valid = d.Metadata, d.Valid
	if l.Rule == "" {
		l.Rule = RuleCaller
	}
	return nil
}

func (l *Link) normalizeDraft(d *LinkDraft) error {
	if err := d.To.Check("to"); err != nil {
		return err
	}
	if err := checkName("type", d.Type, false); err != nil {
		return err
	}
	if err := checkWeight("weight", d.Weight); err != nil {
		return err
	}
	if err := d.Metadata.normalize("metadata"); err != nil {
		return err
	}
	return normalizeValidity("valid", &d.Valid)
}

func checkWeight(field string, w *float64) error {
	if w == nil {
		return nil
	}
	if !(*w >= 0) || checkFinite(field, *w) != nil {
		return Invalid("weight_out_of_range", field, "%s is %v; a weight is finite and >= 0", field, *w)
	}
	return nil
}

// Entity is a named thing: an account, a film, a person.
type Entity struct {
	ID       ID       `cbor:"-"`
	Name     string   `cbor:"1,keyasint"`
	Type     string   `cbor:"2,keyasint,omitempty"`
	Aliases  []string `cbor:"3,keyasint,omitempty"`
	Metadata Metadata `cbor:"4,keyasint,omitempty"`

	LSN      LSN       `cbor:"-"`
	Version  uint32    `cbor:"-"`
	StoredAt time.Time `cbor:"-"`
	// Merged are the entities that have become part of it; a list of entities leaves
	// them out.
	Merged []MergedEntity `cbor:"-"`
}

// MergedEntity is an entity that has become part of another.
type MergedEntity struct {
	ID    ID
	Name  string
	Merge LSN // by which the merge can be undone
}

// Normalize checks the entity's fields.
func (e *Entity) Normalize() error {
	if err := e.ID.Check("id"); err != nil {
		return err
	}
	if err := checkName("name", e.Name, false); err != nil {
		return err
	}
	if err := checkName("type", e.Type, true); err != nil {
		return err
	}
	if err := checkNames("aliases", e.Aliases, MaxAliases); err != nil {
		return err
	}
	return e.Metadata.normalize("metadata")
}

// Direction says which links of a node are meant.
type Direction uint8

// The directions.
const (
	Both Direction = iota
	Out
	In
)

var directionNames = map[Direction]string{Both: "both", Out: "out", In: "in"}

// ParseDirection turns a word of the API into a Direction; "" is Both.
func ParseDirection(s string) (Direction, error) {
	if s == "" {
		return Both, nil
	}
	return parseWord("direction", s, directionNames)
}

func (d Direction) String() string { return directionNames[d] }
