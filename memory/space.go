package memory

import (
	"reflect"
	"time"
)

// Settings of a space. Vector and Language are fixed once they are set.
type Settings struct {
	Vector     VectorSettings `cbor:"1,keyasint,omitempty"`
	Language   string         `cbor:"2,keyasint,omitempty"` // of stems and stop words; default DefaultLanguage
	Durability Durability     `cbor:"3,keyasint,omitempty"` // of writes that do not say; default DurabilityDisk
	Horizon    time.Duration  `cbor:"4,keyasint,omitempty"` // how far back the journal reaches; default DefaultHorizon
	Links      *LinkSettings  `cbor:"5,keyasint,omitempty"` // which links the engine makes by itself; nil: the defaults
}

// VectorSettings say which vectors a space holds. Dimension 0: none.
type VectorSettings struct {
	Dimension int    `cbor:"1,keyasint,omitempty"`
	Metric    Metric `cbor:"2,keyasint,omitempty"` // default MetricCosine
	Model     string `cbor:"3,keyasint,omitempty"` // provenance: what made the vectors
}

// Defaults of a space.
const (
	DefaultLanguage = "en"
	DefaultHorizon  = 30 * 24 * time.Hour
	MinHorizon      = time.Minute
)

// Metric says how near two vectors are. Bigger scores are nearer.
type Metric string

// The metrics and what the score is.
const (
	MetricCosine Metric = "cosine" // cosine of the angle, -1 to 1; the zero vector is refused
	MetricDot    Metric = "dot"    // inner product
	MetricL2     Metric = "l2"     // minus the squared Euclidean distance
)

var metricNames = map[Metric]string{MetricCosine: "cosine", MetricDot: "dot", MetricL2: "l2"}

// Durability says when a write is acknowledged.
type Durability uint8

// The durabilities. Their numbers lie on disk.
const (
	DurabilityDefault Durability = 0 // the space's own; for a space: disk
	DurabilityDisk    Durability = 1 // its record is on disk (fsync): survives a power cut
	DurabilityProcess Durability = 2 // the kernel has it: survives a kill of the process
)

var durabilityNames = map[Durability]string{DurabilityDefault: "", DurabilityDisk: "disk", DurabilityProcess: "process"}

func (d Durability) String() string { return durabilityNames[d] }

// ParseDurability turns a word of the API into a Durability; "" is the default.
func ParseDurability(s string) (Durability, error) {
	return parseWord("durability", s, durabilityNames)
}

// Normalize fills in the defaults and checks the ranges. knownLanguage says
// which languages the engine has.
func (s *Settings) Normalize(knownLanguage func(string) error) error {
	v := &s.Vector
	if v.Dimension != 0 && (v.Dimension < MinDimension || v.Dimension > MaxDimension) {
		return Invalid("dimension_out_of_range", "settings.vector.dimension", "settings.vector.dimension is %d; it lies between %d and %d", v.Dimension, MinDimension, MaxDimension)
	}
	if v.Dimension == 0 && v.Model != "" { // one that the database has would have said its dimension
		return Invalid("dimension_missing", "settings.vector.dimension", "there is no model %q here, and settings.vector.dimension is missing", v.Model).
			Hinted("engram model list shows the models; for vectors that you bring, say their dimension too")
	}
	if v.Dimension == 0 && v.Metric != "" && v.Metric != MetricCosine {
		return Invalid("dimension_missing", "settings.vector.dimension", "settings.vector.dimension is missing; a metric says nothing without it")
	}
	if v.Metric == "" {
		v.Metric = MetricCosine
	}
	if _, err := parseWord("settings.vector.metric", string(v.Metric), metricNames); err != nil {
		return err
	}
	if err := checkName("settings.vector.model", v.Model, true); err != nil {
		return err
	}
	if s.Language == "" {
		s.Language = DefaultLanguage
	}
	if err := knownLanguage(s.Language); err != nil {
		return Invalid("language_unknown", "settings.language", "settings.language: %v", err)
	}
	if s.Durability == DurabilityDefault {
		s.Durability = DurabilityDisk
	}
	if s.Horizon == 0 {
		s.Horizon = DefaultHorizon
	}
	if s.Horizon < MinHorizon {
		return Invalid("horizon_out_of_range", "settings.horizon", "settings.horizon is %v; it is at least %v", s.Horizon, MinHorizon)
	}
	var err error
	s.Links, err = s.Links.normalize()
	return err
}

// Same says whether two settings that are normalised are equal.
func (s Settings) Same(o Settings) bool {
	if !reflect.DeepEqual(s.Links, o.Links) {
		return false
	}
	s.Links, o.Links = nil, nil
	return s == o
}

// CheckVectorFor says whether a vector fits a space.
func CheckVectorFor(field string, v []float32, space SpaceName, s VectorSettings) error {
	if len(v) == 0 {
		return nil
	}
	if s.Dimension == 0 {
		return Invalid("space_without_vectors", field, "%s is given, but space %q holds no vectors", field, space).
			Hinted("create a space with settings.vector.dimension %d", len(v))
	}
	if len(v) != s.Dimension {
		return Invalid("vector_dimension_mismatch", field, "%s has %d numbers; space %q holds vectors of %d", field, len(v), space, s.Dimension).
			Hinted("embed with the space's model, or create a space of dimension %d", len(v)).
			With("expected", s.Dimension).With("got", len(v))
	}
	if err := CheckVector(field, v); err != nil {
		return err
	}
	if s.Metric == MetricCosine && isZero(v) {
		return Invalid("vector_zero", field, "%s is all zeros, which has no direction: cosine cannot compare it", field)
	}
	return nil
}

func isZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}
