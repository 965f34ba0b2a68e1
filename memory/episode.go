package memory

import (
	"slices"
	"strconv"
	"time"
)

// Episode is something that happened: the payload of a memory as its caller
// said it. At least one of Text, Vector and Fact is given.
type Episode struct {
	// ID is empty for one to be made by the engine. It is not part of the payload.
	ID ID `cbor:"-"`

	Title     string      `cbor:"1,keyasint,omitempty"` // searched and embedded with the text
	Text      string      `cbor:"2,keyasint,omitempty"` // at most MaxTextBytes, never blank
	Vector    []float32   `cbor:"-"`                    // of the space's dimension; lies under a key of its own
	Happened  *Interval   `cbor:"3,keyasint,omitempty"` // valid time; nil is unknown
	Place     *Place      `cbor:"4,keyasint,omitempty"`
	People    []string    `cbor:"5,keyasint,omitempty"`
	Tags      []string    `cbor:"6,keyasint,omitempty"`
	Metadata  Metadata    `cbor:"7,keyasint,omitempty"`
	Stream    string      `cbor:"8,keyasint,omitempty"` // the conversation, document or feed that it belongs to
	Source    string      `cbor:"9,keyasint,omitempty"`
	Salience  *float64    `cbor:"10,keyasint,omitempty"` // 0 to 1; nil is not said
	ExpiresAt *time.Time  `cbor:"11,keyasint,omitempty"`
	Fact      *Fact       `cbor:"12,keyasint,omitempty"`
	Entities  []EntityRef `cbor:"13,keyasint,omitempty"`
	Links     []LinkDraft `cbor:"14,keyasint,omitempty"`
}

// Fact is a statement that a memory carries.
type Fact struct {
	Subject   string `cbor:"1,keyasint"`
	Attribute string `cbor:"2,keyasint"`
	Value     string `cbor:"3,keyasint"`
}

// EntityRef names an entity that a memory is about: by ID, or by Type and Name.
type EntityRef struct {
	ID   ID     `cbor:"1,keyasint,omitempty"`
	Type string `cbor:"2,keyasint,omitempty"`
	Name string `cbor:"3,keyasint,omitempty"`
	Role string `cbor:"4,keyasint,omitempty"`
}

// LinkDraft is a link from the memory that is being stored.
type LinkDraft struct {
	To       ID        `cbor:"1,keyasint"`
	Type     string    `cbor:"2,keyasint"`
	Weight   *float64  `cbor:"3,keyasint,omitempty"` // nil is 1
	Metadata Metadata  `cbor:"4,keyasint,omitempty"`
	Valid    *Validity `cbor:"5,keyasint,omitempty"`
}

// Normalize brings the episode into canonical form (times in UTC, numbers in
// metadata as float64) or says what is wrong. It checks what can be known
// without the space; CheckVectorFor says whether the vector fits there. What the
// caller's pointers, maps and lists hold stays as it is.
func (e *Episode) Normalize() error {
	if e.ID != "" {
		if err := e.ID.Check("id"); err != nil {
			return err
		}
	}
	for _, check := range []func() error{e.checkWords, e.checkWhen, e.checkNumbers, e.checkEdges} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (e *Episode) checkWords() error {
	if e.Text == "" && len(e.Vector) == 0 && e.Fact == nil {
		return Invalid("memory_empty", "text", "text, vector and fact are all missing; a memory has at least one of them")
	}
	if len(e.Text) > MaxTextBytes {
		err := Errorf(KindTooLarge, "text_too_large", "text has %d bytes; at most %d are kept", len(e.Text), MaxTextBytes)
		err.Field = "text"
		return err.Hinted("split it into passages that share a stream")
	}
	if e.Text != "" && isBlank(e.Text) {
		return Invalid("text_blank", "text", "text is blank")
	}
	if err := checkUTF8("text", e.Text); err != nil {
		return err
	}
	if e.Title != "" && isBlank(e.Title) {
		return Invalid("title_blank", "title", "title is blank")
	}
	if err := checkLength("title", e.Title, MaxTitleBytes); err != nil {
		return err
	}
	if err := checkNames("people", e.People, MaxPeople); err != nil {
		return err
	}
	if err := checkNames("tags", e.Tags, MaxTags); err != nil {
		return err
	}
	if err := checkName("stream", e.Stream, true); err != nil {
		return err
	}
	if err := checkLength("source", e.Source, MaxSourceBytes); err != nil {
		return err
	}
	return e.Fact.check()
}

func (f *Fact) check() error {
	if f == nil {
		return nil
	}
	for _, part := range []struct{ field, s string }{{"fact.subject", f.Subject}, {"fact.attribute", f.Attribute}, {"fact.value", f.Value}} {
		if isBlank(part.s) {
			return Invalid("fact_incomplete", part.field, "%s is blank; a fact has a subject, an attribute and a value", part.field)
		}
		if err := checkLength(part.field, part.s, MaxFactBytes); err != nil {
			return err
		}
	}
	return nil
}

func (e *Episode) checkWhen() error {
	if e.Happened != nil {
		own := *e.Happened
		if err := own.normalize("happened"); err != nil {
			return err
		}
		e.Happened = &own
	}
	if e.ExpiresAt != nil {
		t, err := checkTime("expires_at", *e.ExpiresAt)
		if err != nil {
			return err
		}
		e.ExpiresAt = &t
	}
	if e.Place != nil {
		return e.Place.normalize("place")
	}
	return nil
}

func (e *Episode) checkNumbers() error {
	if e.Salience != nil && !(*e.Salience >= 0 && *e.Salience <= 1) {
		return Invalid("salience_out_of_range", "salience", "salience is %v; it lies between 0 and 1", *e.Salience)
	}
	if err := CheckVector("vector", e.Vector); err != nil {
		return err
	}
	return e.Metadata.normalize("metadata")
}

func (e *Episode) checkEdges() error {
	if len(e.Entities) > MaxEntities {
		return Invalid("list_too_long", "entities", "entities has %d entries; at most %d are kept", len(e.Entities), MaxEntities)
	}
	for i := range e.Entities {
		if err := e.Entities[i].check("entities[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	if len(e.Links) > MaxLinks {
		return Invalid("list_too_long", "links", "links has %d entries; at most %d are kept", len(e.Links), MaxLinks)
	}
	e.Links = slices.Clone(e.Links)
	for i := range e.Links {
		if err := e.Links[i].normalize("links[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	return nil
}

func (r *EntityRef) check(field string) error {
	if r.ID != "" {
		if err := r.ID.Check(field + ".id"); err != nil {
			return err
		}
	} else if r.Type == "" || r.Name == "" {
		return Invalid("entity_unnamed", field, "%s has neither an id nor a type and a name", field)
	}
	if err := checkName(field+".type", r.Type, true); err != nil {
		return err
	}
	if err := checkName(field+".name", r.Name, true); err != nil {
		return err
	}
	return checkName(field+".role", r.Role, true)
}

func (d *LinkDraft) normalize(field string) error {
	if err := d.To.Check(field + ".to"); err != nil {
		return err
	}
	if err := checkName(field+".type", d.Type, false); err != nil {
		return err
	}
	if err := checkWeight(field+".weight", d.Weight); err != nil {
		return err
	}
	if err := d.Metadata.normalize(field + ".metadata"); err != nil {
		return err
	}
	return normalizeValidity(field+".valid", &d.Valid)
}

// Size is about how many bytes the payload takes.
func (e *Episode) Size() int {
	n := len(e.Title) + len(e.Text) + 4*len(e.Vector) + len(e.Stream) + len(e.Source) + 64
	for _, list := range [][]string{e.People, e.Tags} {
		for _, s := range list {
			n += len(s) + 2
		}
	}
	for k, v := range e.Metadata {
		n += len(k) + 10
		if s, ok := v.(string); ok {
			n += len(s)
		}
	}
	return n
}

// Memory is an episode as it stands in a space: what was said, and what the
// engine knows about it.
type Memory struct {
	Episode
	Kind       Kind
	Version    uint32    // 1 for the first
	StoredAt   time.Time // system time of this version
	LSN        LSN       // of the record that made this version
	Model      string    // provenance of the vector, "" when there is none
	Made       bool      // the space's model made the vector of the words
	Suppressed bool      // kept out of recall and lists
	LinksOf    []Link    // when they were asked for
	Versions   []Version // when they were asked for, oldest first
}

// Version is one state of a memory in time.
type Version struct {
	Version  uint32
	LSN      LSN
	StoredAt time.Time
}

func itoa(i int) string { return strconv.Itoa(i) }
