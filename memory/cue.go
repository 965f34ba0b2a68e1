package memory

import (
	"math"
	"slices"
	"sort"
	"time"
)

// Limits of a cue.
const (
	DefaultLimit  = 10
	MaxLimit      = 1000
	MaxCueBytes   = 64 << 10
	MaxFilterList = 256 // entries in one list of a filter
	MaxCueIDs     = 1000
	MaxRadius     = 20_040_000 // metres: half way round the Earth
	MaxContext    = 8          // earlier cues
)

// Filter says which nodes are meant. Every part that is given must hold.
type Filter struct {
	Kinds    []Kind
	Tags     []string // all of
	AnyTags  []string // at least one of
	NotTags  []string // none of
	People   []string // all of
	Stream   string
	Happened *Range // valid time; nodes without one do not match
	Stored   *Range // system time of the version
	Place    *PlaceFilter
	Metadata map[string]Condition
}

// PlaceFilter means a circle round a position, or a name.
type PlaceFilter struct {
	Name          string
	Lat, Lon      float64
	RadiusMetres  float64
	HasCoordinate bool
}

// Condition is what a filter asks of one metadata key. Equals compares with the
// value, or with any entry of a list value. The order of GTE, GT, LTE and LT is
// that of numbers, or of bytes for strings; other types do not match.
type Condition struct {
	Equals           any // string, float64 or bool; nil is not asked
	GTE, GT, LTE, LT any // string or float64
	In               []any
	Exists           *bool
}

// IsEmpty says whether the filter lets everything through.
func (f *Filter) IsEmpty() bool {
	return len(f.Kinds) == 0 && len(f.Tags) == 0 && len(f.AnyTags) == 0 && len(f.NotTags) == 0 && len(f.People) == 0 &&
		f.Stream == "" && f.Happened == nil && f.Stored == nil && f.Place == nil && len(f.Metadata) == 0
}

// Normalize brings the filter into canonical form or says what is wrong. What
// the caller's pointers, maps and lists hold stays as it is: filters are shared.
func (f *Filter) Normalize() error {
	for _, l := range []struct {
		field string
		list  []string
	}{{"tags", f.Tags}, {"any_tags", f.AnyTags}, {"not_tags", f.NotTags}, {"people", f.People}} {
		if err := checkNames(l.field, l.list, MaxFilterList); err != nil {
			return err
		}
	}
	if err := checkName("stream", f.Stream, true); err != nil {
		return err
	}
	for _, r := range []struct {
		field string
		at    **Range
	}{{"happened", &f.Happened}, {"stored", &f.Stored}} {
		if *r.at == nil {
			continue
		}
		own := **r.at
		if err := own.normalize(r.field); err != nil {
			return err
		}
		*r.at = &own
	}
	if f.Place != nil {
		if err := f.Place.normalize("place"); err != nil {
			return err
		}
	}
	return f.checkConditions()
}

func (p *PlaceFilter) normalize(field string) error {
	if p.Name == "" && !p.HasCoordinate {
		return Invalid("place_empty", field, "%s has neither a name nor lat, lon and radius_m", field)
	}
	if err := checkName(field+".name", p.Name, true); err != nil {
		return err
	}
	if !p.HasCoordinate {
		return nil
	}
	if !(p.RadiusMetres > 0 && p.RadiusMetres <= MaxRadius) {
		return Invalid("radius_out_of_range", field+".radius_m", "%s.radius_m is %v; it is above 0 and at most %d", field, p.RadiusMetres, MaxRadius)
	}
	return checkPosition(field, p.Lat, p.Lon)
}

func (f *Filter) checkConditions() error {
	if len(f.Metadata) > MaxFilterList {
		return Invalid("list_too_long", "metadata", "metadata asks for %d keys; at most %d can be asked", len(f.Metadata), MaxFilterList)
	}
	keys := make([]string, 0, len(f.Metadata))
	for k := range f.Metadata {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	own := make(map[string]Condition, len(keys))
	for _, k := range keys {
		if err := checkMetadataKey("metadata", k); err != nil {
			return err
		}
		c := f.Metadata[k]
		if err := c.normalize("metadata." + k); err != nil {
			return err
		}
		own[k] = c
	}
	if len(own) > 0 {
		f.Metadata = own
	}
	return nil
}

func (c *Condition) normalize(field string) error {
	asked := c.Equals != nil || c.GTE != nil || c.GT != nil || c.LTE != nil || c.LT != nil || c.In != nil || c.Exists != nil
	if !asked {
		return Invalid("condition_empty", field, "%s asks for nothing; give a value, or gte, gt, lte, lt, in or exists", field)
	}
	if c.Equals != nil {
		v, _, err := metadataValue(field, c.Equals, false)
		if err != nil {
			return err
		}
		c.Equals = v
	}
	for _, bound := range []struct {
		name string
		v    *any
	}{{"gte", &c.GTE}, {"gt", &c.GT}, {"lte", &c.LTE}, {"lt", &c.LT}} {
		if *bound.v == nil {
			continue
		}
		v, _, err := metadataValue(field+"."+bound.name, *bound.v, false)
		if err != nil {
			return err
		}
		if _, isBool := v.(bool); isBool {
			return Invalid("condition_type", field+"."+bound.name, "%s.%s is a boolean, which has no order", field, bound.name)
		}
		*bound.v = v
	}
	if len(c.In) > MaxFilterList {
		return Invalid("list_too_long", field+".in", "%s.in has %d entries; at most %d can be asked", field, len(c.In), MaxFilterList)
	}
	in := slices.Clone(c.In)
	for i, x := range in {
		v, _, err := metadataValue(field+".in["+itoa(i)+"]", x, false)
		if err != nil {
			return err
		}
		in[i] = v
	}
	c.In = in
	return nil
}

// Mode says how a cue wakes memories.
type Mode string

// The modes of recall.
const (
	ModeAssociative Mode = "associative" // likeness, and activation along links; the default
	ModeSimilar     Mode = "similar"     // likeness alone
	ModeRecent      Mode = "recent"      // the latest that match
	ModeRecognise   Mode = "recognise"   // is this familiar
)

var modeNames = map[Mode]string{ModeAssociative: "associative", ModeSimilar: "similar", ModeRecent: "recent", ModeRecognise: "recognise"}

// Order says how results are ordered.
type Order string

// The orders of results.
const (
	OrderScore Order = "score" // best first; the default
	OrderTime  Order = "time"  // oldest first, by when it happened (else when it was stored)
)

var orderNames = map[Order]string{OrderScore: "score", OrderTime: "time"}

// Budget bounds an answer by its tokens instead of by a count.
type Budget struct {
	Tokens    int
	Tokenizer string // "estimate", the default: 4 + 1.35 a word
}

// MaxBudgetTokens is the largest token budget.
const MaxBudgetTokens = 1_000_000

// Cue is what is held up to memory: text, a vector, ids, filters, or several.
type Cue struct {
	Text   string
	Vector []float32
	IDs    []ID
	Filter Filter
	// Context are earlier cues, which prime: what they wake is a little more ready
	// to come back, the less the longer ago they were. In ModeAssociative alone.
	Context []ContextItem

	Now time.Time // for retention and words such as "last May"; zero is the clock's
	// Zone is that of words such as "yesterday"; nil: that of Now, or UTC.
	Zone          *time.Location
	AsOf          AsOf    // the moment to answer from; zero: now
	Mode          Mode    // default ModeAssociative
	Limit         int     // default DefaultLimit, at most MaxLimit
	Budget        *Budget // instead of Limit
	Order         Order   // default OrderScore
	Exact         *bool   // true: compare all; false: never; nil: the engine chooses
	Explain       bool    // results say their parts
	Replay        bool    // the answer has a receipt, from which it can be given again; it explains, too
	IncludeVector bool    // results carry their vectors
	IncludeLinks  bool    // results carry their links
	Stages        Stages  // stages that are switched off
}

// Stages switches stages of recall off, to see the difference. The zero value
// has all on.
type Stages struct {
	NoText, NoVector, NoLinks, NoTime, NoContext bool
	NoWidening                                   bool // words of the cue stand for themselves alone
}

// ContextItem is an earlier cue: a text, or a node that was meant.
type ContextItem struct {
	Text string
	ID   ID
	At   time.Time // zero: just now
}

// HasLikeness says whether the cue has something to be like; without it a cue
// of filters alone is a listing.
func (c *Cue) HasLikeness() bool { return c.Text != "" || len(c.Vector) > 0 || len(c.IDs) > 0 }

// Normalize fills in the defaults and checks the ranges.
func (c *Cue) Normalize() error {
	if !c.HasLikeness() && c.Filter.IsEmpty() && c.Mode != ModeRecent {
		return Invalid("cue_empty", "text", "the cue is empty; give text, vector, ids or a filter")
	}
	if c.Text != "" && isBlank(c.Text) {
		return Invalid("text_blank", "text", "text is blank")
	}
	if len(c.Text) > MaxCueBytes {
		err := Errorf(KindTooLarge, "cue_too_large", "text has %d bytes; a cue has at most %d", len(c.Text), MaxCueBytes)
		err.Field = "text"
		return err
	}
	if err := checkUTF8("text", c.Text); err != nil {
		return err
	}
	if err := CheckVector("vector", c.Vector); err != nil {
		return err
	}
	if err := c.checkIDs(); err != nil {
		return err
	}
	if err := c.Filter.Normalize(); err != nil {
		return err
	}
	if err := c.checkContext(); err != nil {
		return err
	}
	if !c.Now.IsZero() {
		if c.Zone == nil {
			c.Zone = c.Now.Location()
		}
		t, err := checkTime("now", c.Now)
		if err != nil {
			return err
		}
		c.Now = t
	}
	return c.checkAnswer()
}

func (c *Cue) checkIDs() error {
	if len(c.IDs) > MaxCueIDs {
		return Invalid("list_too_long", "ids", "ids has %d entries; a cue has at most %d", len(c.IDs), MaxCueIDs)
	}
	for i, id := range c.IDs {
		if err := id.Check("ids[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cue) checkContext() error {
	if len(c.Context) > MaxContext {
		return Invalid("list_too_long", "context", "context has %d entries; a cue has at most %d", len(c.Context), MaxContext).
			Hinted("leave out the oldest: they prime the least")
	}
	own := slices.Clone(c.Context)
	for i := range own {
		if err := own[i].normalize("context[" + itoa(i) + "]"); err != nil {
			return err
		}
	}
	c.Context = own
	return nil
}

func (x *ContextItem) normalize(field string) error {
	switch {
	case (x.Text == "") == (x.ID == ""):
		return Invalid("context_item_invalid", field, "%s has text and id, or neither; give one of them", field)
	case x.ID != "":
		if err := x.ID.Check(field + ".id"); err != nil {
			return err
		}
	case isBlank(x.Text):
		return Invalid("text_blank", field+".text", "%s.text is blank", field)
	case len(x.Text) > MaxCueBytes:
		return Errorf(KindTooLarge, "cue_too_large", "%s.text has %d bytes; a cue has at most %d", field, len(x.Text), MaxCueBytes)
	}
	if err := checkUTF8(field+".text", x.Text); err != nil || x.At.IsZero() {
		return err
	}
	var err error
	x.At, err = checkTime(field+".at", x.At)
	return err
}

func (c *Cue) checkAnswer() error {
	if c.Mode == "" {
		c.Mode = ModeAssociative
	}
	if _, err := parseWord("mode", string(c.Mode), modeNames); err != nil {
		return err
	}
	if c.Mode == ModeRecognise && c.Text == "" && len(c.Vector) == 0 {
		return Invalid("cue_empty", "text", "there is nothing to recognise; give text or a vector")
	}
	if c.Replay && c.IncludeLinks {
		return Invalid("replay_without_links", "include", "include has links, which a receipt does not keep; leave them out, or explain with true")
	}
	if err := c.checkAsOf(); err != nil {
		return err
	}
	c.Explain = c.Explain || c.Replay
	if c.Limit == 0 {
		c.Limit = DefaultLimit
	}
	if c.Limit < 1 || c.Limit > MaxLimit {
		return Invalid("limit_out_of_range", "limit", "limit is %d; it lies between 1 and %d", c.Limit, MaxLimit)
	}
	if c.Order == "" {
		c.Order = OrderScore
	}
	if _, err := parseWord("order", string(c.Order), orderNames); err != nil {
		return err
	}
	if c.Budget == nil {
		return nil
	}
	if c.Budget.Tokens < 1 || c.Budget.Tokens > MaxBudgetTokens {
		return Invalid("budget_out_of_range", "budget.tokens", "budget.tokens is %d; it lies between 1 and %d", c.Budget.Tokens, MaxBudgetTokens)
	}
	if t := c.Budget.Tokenizer; t != "" && t != "estimate" {
		return Invalid("tokenizer_unknown", "budget.tokenizer", "budget.tokenizer is %s; the known one is estimate", quoted(t))
	}
	return nil
}

// EstimateTokens counts about how many tokens a language model would see:
// 4 + 1.35 a word, the default tokenizer of the API.
func EstimateTokens(words int) int { return 4 + int(math.Floor(1.35*float64(words))) }

// Confidence is how sure an answer is: a probability and its interval.
type Confidence struct {
	Value, Low, High float64
}

// ForgetMode says how much of a memory goes.
type ForgetMode uint8

// The modes of forgetting. Their numbers lie on disk.
const (
	Suppress ForgetMode = 1 // kept out of recall and lists; can be restored
	Delete   ForgetMode = 2 // gone for every reader; history keeps it to the horizon
	Erase    ForgetMode = 3 // no byte of the payload is left in any live file
)

var forgetNames = map[ForgetMode]string{Suppress: "suppress", Delete: "delete", Erase: "erase"}

func (m ForgetMode) String() string { return forgetNames[m] }

// ParseForgetMode turns a word of the API into a ForgetMode; "" is Delete.
func ParseForgetMode(s string) (ForgetMode, error) {
	if s == "" {
		return Delete, nil
	}
	return parseWord("mode", s, forgetNames)
}

// OnConflict says what a write does when its id stands with other content.
type OnConflict uint8

// The choices of OnConflict.
const (
	ConflictError   OnConflict = iota // refuse with id_conflict
	ConflictKeep                      // keep what stands
	ConflictReplace                   // make a new version
)

var conflictNames = map[OnConflict]string{ConflictError: "error", ConflictKeep: "keep", ConflictReplace: "replace"}

// ParseOnConflict turns a word of the API into an OnConflict; "" is error.
func ParseOnConflict(s string) (OnConflict, error) {
	if s == "" {
		return ConflictError, nil
	}
	return parseWord("on_conflict", s, conflictNames)
}
