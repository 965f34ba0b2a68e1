package memory

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what may be said. They hold at every door.
const (
	MaxTextBytes     = 8 << 20 // of a memory's text
	MaxTitleBytes    = 4 << 10
	MaxNameBytes     = 512 // of a tag, person, stream, place name, entity name, type, role
	MaxSourceBytes   = 4 << 10
	MaxTags          = 256
	MaxPeople        = 256
	MaxMetadataKeys  = 256
	MaxMetadataKey   = 128      // bytes of a metadata key
	MaxMetadataBytes = 64 << 10 // of all keys and values together
	MaxEntities      = 64       // named by one memory
	MaxLinks         = 256      // made by one memory
	MaxAliases       = 64
	MaxFactBytes     = 4 << 10 // of each part of a fact
	MinDimension     = 2
	MaxDimension     = 4096
	MaxBatch         = 1000    // items in one batch
	MaxBatchBytes    = 8 << 20 // of all payloads of one batch
)

// Place is where something happened: a name, a position, or both.
type Place struct {
	Name string   `cbor:"1,keyasint,omitempty"`
	Lat  *float64 `cbor:"2,keyasint,omitempty"` // degrees, -90 to 90
	Lon  *float64 `cbor:"3,keyasint,omitempty"` // degrees, -180 to 180
}

func (p *Place) normalize(field string) error {
	if p.Name == "" && p.Lat == nil && p.Lon == nil {
		return Invalid("place_empty", field, "%s has neither name nor lat and lon", field)
	}
	if err := checkName(field+".name", p.Name, true); err != nil {
		return err
	}
	if (p.Lat == nil) != (p.Lon == nil) {
		return Invalid("place_incomplete", field, "%s has only one of lat and lon", field)
	}
	if p.Lat == nil {
		return nil
	}
	return checkPosition(field, *p.Lat, *p.Lon)
}

func checkPosition(field string, lat, lon float64) error {
	if !(lat >= -90 && lat <= 90) {
		return Invalid("lat_out_of_range", field+".lat", "%s.lat is %v; it lies between -90 and 90 degrees", field, lat)
	}
	if !(lon >= -180 && lon <= 180) {
		return Invalid("lon_out_of_range", field+".lon", "%s.lon is %v; it lies between -180 and 180 degrees", field, lon)
	}
	return nil
}

// Metadata is what a caller wants to keep beside a memory and filter by. A value
// is a string, a float64, a bool, or a []any of these.
type Metadata map[string]any

// normalize puts a map of its own in the place of the caller's, which may be
// shared by others.
func (m *Metadata) normalize(field string) error {
	given := *m
	if len(given) == 0 {
		return nil
	}
	if len(given) > MaxMetadataKeys {
		return Invalid("metadata_too_large", field, "%s has %d keys; at most %d are kept", field, len(given), MaxMetadataKeys)
	}
	keys := make([]string, 0, len(given))
	for k := range given {
		keys = append(keys, k)
	}
	sort.Strings(keys) // so that the same bad metadata gives the same error
	size := 0
	own := make(Metadata, len(given))
	for _, k := range keys {
		if err := checkMetadataKey(field, k); err != nil {
			return err
		}
		v, n, err := metadataValue(field+"."+k, given[k], true)
		if err != nil {
			return err
		}
		own[k] = v
		size += len(k) + n
	}
	if size > MaxMetadataBytes {
		return Invalid("metadata_too_large", field, "%s has %d bytes; at most %d are kept", field, size, MaxMetadataBytes)
	}
	*m = own
	return nil
}

func checkMetadataKey(field, k string) error {
	if k == "" || len(k) > MaxMetadataKey {
		return Invalid("metadata_key_invalid", field, "%s has a key of %d bytes (%s); a key has 1-%d", field, len(k), quoted(k), MaxMetadataKey)
	}
	return checkUTF8(field, k)
}

// metadataValue brings numbers to float64 and says how many bytes a value takes.
func metadataValue(field string, v any, lists bool) (any, int, error) {
	switch x := v.(type) {
	case string:
		return x, len(x), checkUTF8(field, x)
	case bool:
		return x, 1, nil
	case float64:
		return x, 8, checkFinite(field, x)
	case float32:
		return float64(x), 8, checkFinite(field, float64(x))
	case int:
		return wholeNumber(field, int64(x))
	case int64:
		return wholeNumber(field, x)
	case uint64:
		if x > 1<<53 {
			return nil, 0, numberTooLarge(field, x)
		}
		return float64(x), 8, nil
	case []any:
		if lists {
			return metadataList(field, x)
		}
	}
	return nil, 0, Invalid("metadata_type", field, "%s is %s; metadata holds strings, numbers, booleans and lists of them", field, jsonWord(v))
}

func wholeNumber(field string, x int64) (any, int, error) {
	if x > 1<<53 || x < -(1<<53) {
		return nil, 0, numberTooLarge(field, x)
	}
	return float64(x), 8, nil
}

func numberTooLarge(field string, x any) error {
	return Invalid("number_too_large", field, "%s is %v; whole numbers beyond 2^53 lose digits: store it as a string", field, x)
}

func metadataList(field string, list []any) (any, int, error) {
	size := 0
	own := make([]any, len(list))
	for i, v := range list {
		n, bytes, err := metadataValue(field+"["+itoa(i)+"]", v, false)
		if err != nil {
			return nil, 0, err
		}
		own[i] = n
		size += bytes
	}
	return own, size, nil
}

func checkFinite(field string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Invalid("number_not_finite", field, "%s is %v; only finite numbers can be stored", field, x)
	}
	return nil
}

func checkUTF8(field, s string) error {
	if !utf8.ValidString(s) {
		return Invalid("utf8_invalid", field, "%s is not valid UTF-8", field)
	}
	return nil
}

// checkName checks a short string that says something; empty is allowed only
// when optional.
func checkName(field, s string, optional bool) error {
	if s == "" && optional {
		return nil
	}
	if isBlank(s) {
		return Invalid("name_blank", field, "%s is blank", field)
	}
	return checkLength(field, s, MaxNameBytes)
}

func checkLength(field, s string, most int) error {
	if len(s) > most {
		return Invalid("name_too_long", field, "%s has %d bytes; at most %d are kept", field, len(s), most)
	}
	return checkUTF8(field, s)
}

// checkNames checks a list of short strings.
func checkNames(field string, list []string, most int) error {
	if len(list) > most {
		return Invalid("list_too_long", field, "%s has %d entries; at most %d are kept", field, len(list), most)
	}
	for i, s := range list {
		if err := checkName(field+"["+itoa(i)+"]", s, false); err != nil {
			return err
		}
	}
	return nil
}

func isBlank(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsControl(r) }) < 0
}

// CheckVector refuses numbers that are not finite.
func CheckVector(field string, v []float32) error {
	if i := slices.IndexFunc(v, notFinite); i >= 0 {
		return Invalid("vector_not_finite", field+"["+itoa(i)+"]", "%s[%d] is %v; a vector holds finite numbers", field, i, v[i])
	}
	return nil
}

func notFinite(x float32) bool { return x-x != 0 }

// jsonWord names the type of a value that metadata does not hold, as who wrote JSON knows it.
func jsonWord(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return fmt.Sprintf("of type %T", v)
}
