package memory

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wrong is what a rule says of a value that breaks it: kind, code, field, and
// the parts of the message (the value as it was given, the limit).
type wrong struct {
	code, field string
	says        []string
}

func checkWrong(t *testing.T, err error, w wrong) {
	t.Helper()
	var e *Error
	switch {
	case w.code == "" && err != nil:
		t.Errorf("refused: %v", err)
	case w.code == "":
	case !errors.As(err, &e):
		t.Errorf("got %v, want %s", err, w.code)
	case e.Code != w.code || e.Field != w.field:
		t.Errorf("got %s [%s] %s, want %s [%s]", e.Code, e.Field, e.Message, w.code, w.field)
	default:
		if !strings.Contains(e.Message, w.field) {
			t.Errorf("the message %q does not name the field %s", e.Message, w.field)
		}
		for _, part := range w.says {
			if !strings.Contains(e.Message, part) {
				t.Errorf("the message %q does not say %q", e.Message, part)
			}
		}
	}
}

func long(n int) string                          { return strings.Repeat("x", n) }
func ptr[T any](v T) *T                          { return &v }
func year(y int) time.Time                       { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }
func many[T any](n int, f func(i int) T) (l []T) { return append(l, each(n, f)...) }

func each[T any](n int, f func(i int) T) []T {
	l := make([]T, n)
	for i := range l {
		l[i] = f(i)
	}
	return l
}

func names(n int) []string { return many(n, func(i int) string { return "n" + strconv.Itoa(i) }) }

func keys(n int, v any) Metadata {
	m := make(Metadata)
	for i := range n {
		m["k"+strconv.Itoa(i)] = v
	}
	return m
}

var fine = wrong{}

func TestEpisodeRules(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		e Episode
		w wrong
	}{
		"text":               {Episode{Text: "x"}, fine},
		"vector alone":       {Episode{Vector: []float32{1}}, fine},
		"fact alone":         {Episode{Fact: &Fact{"a", "b", "c"}}, fine},
		"nothing":            {Episode{Title: "x"}, wrong{"memory_empty", "text", []string{"at least one"}}},
		"longest text":       {Episode{Text: long(MaxTextBytes)}, fine},
		"text too long":      {Episode{Text: long(MaxTextBytes + 1)}, wrong{"text_too_large", "text", []string{"8388609", "8388608"}}},
		"blank text":         {Episode{Text: " \n\t\u00a0\u2003"}, wrong{"text_blank", "text", nil}},
		"control text":       {Episode{Text: "\x00\x01"}, wrong{"text_blank", "text", nil}},
		"broken text":        {Episode{Text: "a\xff"}, wrong{"utf8_invalid", "text", []string{"UTF-8"}}},
		"blank title":        {Episode{Text: "x", Title: " "}, wrong{"title_blank", "title", nil}},
		"title too long":     {Episode{Text: "x", Title: long(MaxTitleBytes + 1)}, wrong{"name_too_long", "title", []string{"4097", "4096"}}},
		"broken title":       {Episode{Text: "x", Title: "\xc3"}, wrong{"utf8_invalid", "title", nil}},
		"blank tag":          {Episode{Text: "x", Tags: []string{"a", ""}}, wrong{"name_blank", "tags[1]", nil}},
		"longest tag":        {Episode{Text: "x", Tags: []string{long(MaxNameBytes)}}, fine},
		"tag too long":       {Episode{Text: "x", Tags: []string{long(MaxNameBytes + 1)}}, wrong{"name_too_long", "tags[0]", []string{"513", "512"}}},
		"broken tag":         {Episode{Text: "x", Tags: []string{"\xff"}}, wrong{"utf8_invalid", "tags[0]", nil}},
		"most tags":          {Episode{Text: "x", Tags: names(MaxTags)}, fine},
		"too many tags":      {Episode{Text: "x", Tags: names(MaxTags + 1)}, wrong{"list_too_long", "tags", []string{"257", "256"}}},
		"too many people":    {Episode{Text: "x", People: names(MaxPeople + 1)}, wrong{"list_too_long", "people", []string{"257", "256"}}},
		"blank person":       {Episode{Text: "x", People: []string{" "}}, wrong{"name_blank", "people[0]", nil}},
		"blank stream":       {Episode{Text: "x", Stream: " "}, wrong{"name_blank", "stream", nil}},
		"stream too long":    {Episode{Text: "x", Stream: long(MaxNameBytes + 1)}, wrong{"name_too_long", "stream", []string{"513", "512"}}},
		"source too long":    {Episode{Text: "x", Source: long(MaxSourceBytes + 1)}, wrong{"name_too_long", "source", []string{"4097", "4096"}}},
		"fact without value": {Episode{Fact: &Fact{"a", "b", ""}}, wrong{"fact_incomplete", "fact.value", nil}},
		"fact too long":      {Episode{Fact: &Fact{long(MaxFactBytes + 1), "b", "c"}}, wrong{"name_too_long", "fact.subject", []string{"4097", "4096"}}},

		"bad id":       {Episode{ID: "a b", Text: "x"}, wrong{"id_invalid", "id", []string{`"a b"`, "byte 1"}}},
		"first year":   {Episode{Text: "x", Happened: At(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))}, fine},
		"last year":    {Episode{Text: "x", Happened: At(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))}, fine},
		"year 0":       {Episode{Text: "x", Happened: At(year(0))}, wrong{"time_out_of_range", "happened.from", []string{"year 0", "1 to 9999"}}},
		"year 10000":   {Episode{Text: "x", Happened: At(year(10000))}, wrong{"time_out_of_range", "happened.from", []string{"year 10000", "9999"}}},
		"10000 in UTC": {Episode{Text: "x", Happened: At(time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600)))}, wrong{"time_out_of_range", "happened.from", []string{"10000"}}},
		"late end":     {Episode{Text: "x", Happened: &Interval{From: year(1), To: year(10000)}}, wrong{"time_out_of_range", "happened.to", []string{"10000"}}},
		"backwards":    {Episode{Text: "x", Happened: &Interval{From: year(2), To: year(1)}}, wrong{"interval_backwards", "happened", []string{"0001-06-01T00:00:00Z", "0002-06-01T00:00:00Z"}}},
		"precision":    {Episode{Text: "x", Happened: &Interval{From: year(1), To: year(2), Precision: "moment"}}, wrong{"word_unknown", "happened.precision", []string{`"moment"`, "day", "year"}}},
		"expiry":       {Episode{Text: "x", ExpiresAt: ptr(year(10000))}, wrong{"time_out_of_range", "expires_at", []string{"10000"}}},

		"empty place":   {Episode{Text: "x", Place: &Place{}}, wrong{"place_empty", "place", nil}},
		"half a place":  {Episode{Text: "x", Place: &Place{Lat: ptr(1.0)}}, wrong{"place_incomplete", "place", nil}},
		"poles":         {Episode{Text: "x", Place: &Place{Lat: ptr(-90.0), Lon: ptr(180.0)}}, fine},
		"latitude":      {Episode{Text: "x", Place: &Place{Lat: ptr(90.001), Lon: ptr(0.0)}}, wrong{"lat_out_of_range", "place.lat", []string{"90.001", "-90 and 90"}}},
		"latitude NaN":  {Episode{Text: "x", Place: &Place{Lat: &nan, Lon: ptr(0.0)}}, wrong{"lat_out_of_range", "place.lat", []string{"NaN"}}},
		"longitude":     {Episode{Text: "x", Place: &Place{Lat: ptr(0.0), Lon: ptr(math.Inf(1))}}, wrong{"lon_out_of_range", "place.lon", []string{"+Inf", "-180 and 180"}}},
		"place name":    {Episode{Text: "x", Place: &Place{Name: long(513)}}, wrong{"name_too_long", "place.name", []string{"513", "512"}}},
		"salience":      {Episode{Text: "x", Salience: ptr(1.5)}, wrong{"salience_out_of_range", "salience", []string{"1.5", "0 and 1"}}},
		"salience ends": {Episode{Text: "x", Salience: ptr(1.0)}, fine},
		"salience NaN":  {Episode{Text: "x", Salience: &nan}, wrong{"salience_out_of_range", "salience", []string{"NaN"}}},
		"vector NaN":    {Episode{Vector: []float32{0, float32(nan)}}, wrong{"vector_not_finite", "vector[1]", []string{"NaN"}}},
		"vector Inf":    {Episode{Vector: []float32{float32(math.Inf(-1))}}, wrong{"vector_not_finite", "vector[0]", []string{"-Inf"}}},

		"metadata":          {Episode{Text: "x", Metadata: Metadata{"s": "x", "n": 1.5, "b": true, "l": []any{"x", 1.0, false}, "i": 3, "u": uint64(4)}}, fine},
		"metadata null":     {Episode{Text: "x", Metadata: Metadata{"k": nil}}, wrong{"metadata_type", "metadata.k", []string{"null"}}},
		"metadata object":   {Episode{Text: "x", Metadata: Metadata{"k": map[string]any{}}}, wrong{"metadata_type", "metadata.k", []string{"an object"}}},
		"metadata nested":   {Episode{Text: "x", Metadata: Metadata{"k": []any{1.0, []any{}}}}, wrong{"metadata_type", "metadata.k[1]", nil}},
		"metadata NaN":      {Episode{Text: "x", Metadata: Metadata{"k": nan}}, wrong{"number_not_finite", "metadata.k", []string{"NaN"}}},
		"metadata Inf":      {Episode{Text: "x", Metadata: Metadata{"k": []any{math.Inf(1)}}}, wrong{"number_not_finite", "metadata.k[0]", []string{"Inf"}}},
		"metadata large":    {Episode{Text: "x", Metadata: Metadata{"k": int64(1<<53 + 1)}}, wrong{"number_too_large", "metadata.k", []string{"9007199254740993", "2^53"}}},
		"metadata broken":   {Episode{Text: "x", Metadata: Metadata{"k": "\xff"}}, wrong{"utf8_invalid", "metadata.k", nil}},
		"metadata no key":   {Episode{Text: "x", Metadata: Metadata{"": 1.0}}, wrong{"metadata_key_invalid", "metadata", []string{"0 bytes", "1-128"}}},
		"metadata long key": {Episode{Text: "x", Metadata: Metadata{long(129): 1.0}}, wrong{"metadata_key_invalid", "metadata", []string{"129 bytes", "1-128"}}},
		"metadata bad key":  {Episode{Text: "x", Metadata: Metadata{"\xff": 1.0}}, wrong{"utf8_invalid", "metadata", nil}},
		"metadata keys":     {Episode{Text: "x", Metadata: keys(MaxMetadataKeys, 1.0)}, fine},
		"metadata 257 keys": {Episode{Text: "x", Metadata: keys(MaxMetadataKeys+1, 1.0)}, wrong{"metadata_too_large", "metadata", []string{"257", "256"}}},
		"metadata bytes":    {Episode{Text: "x", Metadata: Metadata{"k": long(MaxMetadataBytes)}}, wrong{"metadata_too_large", "metadata", []string{"65537", "65536"}}},

		"entity":            {Episode{Text: "x", Entities: []EntityRef{{ID: "a"}, {Type: "t", Name: "n", Role: "r"}}}, fine},
		"entity unnamed":    {Episode{Text: "x", Entities: []EntityRef{{Type: "t"}}}, wrong{"entity_unnamed", "entities[0]", nil}},
		"entity bad id":     {Episode{Text: "x", Entities: []EntityRef{{ID: "a"}, {ID: "/"}}}, wrong{"id_invalid", "entities[1].id", nil}},
		"entity role":       {Episode{Text: "x", Entities: []EntityRef{{ID: "a", Role: long(513)}}}, wrong{"name_too_long", "entities[0].role", []string{"513"}}},
		"too many entities": {Episode{Text: "x", Entities: many(65, func(int) EntityRef { return EntityRef{ID: "a"} })}, wrong{"list_too_long", "entities", []string{"65", "64"}}},
		"link no end":       {Episode{Text: "x", Links: []LinkDraft{{Type: "t"}}}, wrong{"id_invalid", "links[0].to", []string{"empty"}}},
		"link no type":      {Episode{Text: "x", Links: []LinkDraft{{To: "a"}}}, wrong{"name_blank", "links[0].type", nil}},
		"link weight":       {Episode{Text: "x", Links: []LinkDraft{{To: "a", Type: "t", Weight: ptr(-0.5)}}}, wrong{"weight_out_of_range", "links[0].weight", []string{"-0.5", ">= 0"}}},
		"link weight Inf":   {Episode{Text: "x", Links: []LinkDraft{{To: "a", Type: "t", Weight: ptr(math.Inf(1))}}}, wrong{"weight_out_of_range", "links[0].weight", []string{"+Inf"}}},
		"link metadata":     {Episode{Text: "x", Links: []LinkDraft{{To: "a", Type: "t", Metadata: Metadata{"k": nil}}}}, wrong{"metadata_type", "links[0].metadata.k", nil}},
		"link backwards":    {Episode{Text: "x", Links: []LinkDraft{{To: "a", Type: "t", Valid: &Validity{From: ptr(year(2)), To: ptr(year(1))}}}}, wrong{"interval_backwards", "links[0].valid", nil}},
		"link year":         {Episode{Text: "x", Links: []LinkDraft{{To: "a", Type: "t", Valid: &Validity{To: ptr(year(10000))}}}}, wrong{"time_out_of_range", "links[0].valid.to", nil}},
		"too many links":    {Episode{Text: "x", Links: many(257, func(int) LinkDraft { return LinkDraft{To: "a", Type: "t"} })}, wrong{"list_too_long", "links", []string{"257", "256"}}},
	} {
		t.Run(name, func(t *testing.T) { checkWrong(t, c.e.Normalize(), c.w) })
	}
}

func TestCueRules(t *testing.T) {
	like := func(f Filter) Cue { return Cue{Text: "x", Filter: f} }
	for name, c := range map[string]struct {
		c Cue
		w wrong
	}{
		"text":            {Cue{Text: "x"}, fine},
		"recent":          {Cue{Mode: ModeRecent}, fine},
		"filter":          {Cue{Filter: Filter{Tags: []string{"a"}}}, fine},
		"nothing":         {Cue{}, wrong{"cue_empty", "text", nil}},
		"blank":           {Cue{Text: "\t"}, wrong{"text_blank", "text", nil}},
		"longest":         {Cue{Text: long(MaxCueBytes)}, fine},
		"too long":        {Cue{Text: long(MaxCueBytes + 1)}, wrong{"cue_too_large", "text", []string{"65537", "65536"}}},
		"broken":          {Cue{Text: "\xff"}, wrong{"utf8_invalid", "text", nil}},
		"vector":          {Cue{Vector: []float32{float32(math.NaN())}}, wrong{"vector_not_finite", "vector[0]", []string{"NaN"}}},
		"id":              {Cue{IDs: []ID{"a", ".."}}, wrong{"id_invalid", "ids[1]", []string{`".."`}}},
		"ids":             {Cue{IDs: make([]ID, MaxCueIDs+1)}, wrong{"list_too_long", "ids", []string{"1001", "1000"}}},
		"now":             {Cue{Text: "x", Now: year(10000)}, wrong{"time_out_of_range", "now", []string{"10000"}}},
		"mode":            {Cue{Text: "x", Mode: "x"}, wrong{"word_unknown", "mode", []string{`"x"`, "similar"}}},
		"recognise":       {Cue{IDs: []ID{"x"}, Mode: ModeRecognise}, wrong{"cue_empty", "text", nil}},
		"limit":           {Cue{Text: "x", Limit: MaxLimit + 1}, wrong{"limit_out_of_range", "limit", []string{"1001", "1000"}}},
		"limit below":     {Cue{Text: "x", Limit: -1}, wrong{"limit_out_of_range", "limit", []string{"-1"}}},
		"order":           {Cue{Text: "x", Order: "x"}, wrong{"word_unknown", "order", []string{"score, time"}}},
		"budget":          {Cue{Text: "x", Budget: &Budget{}}, wrong{"budget_out_of_range", "budget.tokens", []string{"0", "1000000"}}},
		"tokenizer":       {Cue{Text: "x", Budget: &Budget{Tokens: 1, Tokenizer: "x"}}, wrong{"tokenizer_unknown", "budget.tokenizer", []string{`"x"`, "estimate"}}},
		"tags":            {like(Filter{Tags: names(257)}), wrong{"list_too_long", "tags", []string{"257", "256"}}},
		"any tag":         {like(Filter{AnyTags: []string{""}}), wrong{"name_blank", "any_tags[0]", nil}},
		"not tag":         {like(Filter{NotTags: []string{"\xff"}}), wrong{"utf8_invalid", "not_tags[0]", nil}},
		"people":          {like(Filter{People: []string{long(513)}}), wrong{"name_too_long", "people[0]", []string{"513"}}},
		"stream":          {like(Filter{Stream: " "}), wrong{"name_blank", "stream", nil}},
		"open range":      {like(Filter{Happened: &Range{}}), fine},
		"range":           {like(Filter{Happened: &Range{year(2), year(1)}}), wrong{"interval_backwards", "happened", []string{"0002-06-01"}}},
		"stored":          {like(Filter{Stored: &Range{To: year(10000)}}), wrong{"time_out_of_range", "stored.to", []string{"10000"}}},
		"place":           {like(Filter{Place: &PlaceFilter{}}), wrong{"place_empty", "place", nil}},
		"radius":          {like(Filter{Place: &PlaceFilter{HasCoordinate: true}}), wrong{"radius_out_of_range", "place.radius_m", []string{"0", "20040000"}}},
		"radius NaN":      {like(Filter{Place: &PlaceFilter{HasCoordinate: true, RadiusMetres: math.NaN()}}), wrong{"radius_out_of_range", "place.radius_m", []string{"NaN"}}},
		"latitude":        {like(Filter{Place: &PlaceFilter{HasCoordinate: true, RadiusMetres: 1, Lat: -91}}), wrong{"lat_out_of_range", "place.lat", []string{"-91"}}},
		"condition":       {like(Filter{Metadata: map[string]Condition{"k": {}}}), wrong{"condition_empty", "metadata.k", nil}},
		"condition type":  {like(Filter{Metadata: map[string]Condition{"k": {Equals: []any{}}}}), wrong{"metadata_type", "metadata.k", nil}},
		"condition bool":  {like(Filter{Metadata: map[string]Condition{"k": {LT: false}}}), wrong{"condition_type", "metadata.k.lt", nil}},
		"condition NaN":   {like(Filter{Metadata: map[string]Condition{"k": {GTE: math.NaN()}}}), wrong{"number_not_finite", "metadata.k.gte", nil}},
		"condition in":    {like(Filter{Metadata: map[string]Condition{"k": {In: []any{1.0, nil}}}}), wrong{"metadata_type", "metadata.k.in[1]", nil}},
		"condition many":  {like(Filter{Metadata: map[string]Condition{"k": {In: make([]any, 257)}}}), wrong{"list_too_long", "metadata.k.in", []string{"257", "256"}}},
		"condition key":   {like(Filter{Metadata: map[string]Condition{"": {Equals: 1.0}}}), wrong{"metadata_key_invalid", "metadata", nil}},
		"exists":          {like(Filter{Metadata: map[string]Condition{"k": {Exists: ptr(false)}}}), fine},
		"in with nothing": {like(Filter{Metadata: map[string]Condition{"k": {In: []any{}}}}), fine},
	} {
		t.Run(name, func(t *testing.T) { checkWrong(t, c.c.Normalize(), c.w) })
	}
}

func TestEdgeRules(t *testing.T) {
	for name, c := range map[string]struct {
		l Link
		w wrong
	}{
		"link":     {Link{From: "a", To: "b", Type: "t"}, fine},
		"id":       {Link{ID: "/", From: "a", To: "b", Type: "t"}, wrong{"id_invalid", "id", nil}},
		"from":     {Link{To: "b", Type: "t"}, wrong{"id_invalid", "from", []string{"empty"}}},
		"to":       {Link{From: "a", To: ID(long(129)), Type: "t"}, wrong{"id_invalid", "to", []string{"129", "128"}}},
		"type":     {Link{From: "a", To: "b", Type: "\xff"}, wrong{"utf8_invalid", "type", nil}},
		"weight":   {Link{From: "a", To: "b", Type: "t", Weight: math.NaN()}, wrong{"weight_out_of_range", "weight", []string{"NaN"}}},
		"metadata": {Link{From: "a", To: "b", Type: "t", Metadata: Metadata{"k": nil}}, wrong{"metadata_type", "metadata.k", nil}},
		"valid":    {Link{From: "a", To: "b", Type: "t", Valid: &Validity{From: ptr(year(10000))}}, wrong{"time_out_of_range", "valid.from", nil}},
	} {
		t.Run("link "+name, func(t *testing.T) { checkWrong(t, c.l.Normalize(), c.w) })
	}
	for name, c := range map[string]struct {
		e Entity
		w wrong
	}{
		"entity":   {Entity{ID: "a", Name: "n"}, fine},
		"id":       {Entity{Name: "n"}, wrong{"id_invalid", "id", nil}},
		"name":     {Entity{ID: "a"}, wrong{"name_blank", "name", nil}},
		"type":     {Entity{ID: "a", Name: "n", Type: " "}, wrong{"name_blank", "type", nil}},
		"aliases":  {Entity{ID: "a", Name: "n", Aliases: names(65)}, wrong{"list_too_long", "aliases", []string{"65", "64"}}},
		"metadata": {Entity{ID: "a", Name: "n", Metadata: Metadata{"k": math.Inf(1)}}, wrong{"number_not_finite", "metadata.k", nil}},
	} {
		t.Run("entity "+name, func(t *testing.T) { checkWrong(t, c.e.Normalize(), c.w) })
	}
}

func TestSettingsRules(t *testing.T) {
	known := func(l string) error {
		if l == "en" {
			return nil
		}
		return errors.New("no such language")
	}
	for name, c := range map[string]struct {
		s Settings
		w wrong
	}{
		"none":      {Settings{}, fine},
		"dimension": {Settings{Vector: VectorSettings{Dimension: 1}}, wrong{"dimension_out_of_range", "settings.vector.dimension", []string{"1", "2 and 4096"}}},
		"above":     {Settings{Vector: VectorSettings{Dimension: 4097}}, wrong{"dimension_out_of_range", "settings.vector.dimension", []string{"4097"}}},
		"model":     {Settings{Vector: VectorSettings{Model: "m"}}, wrong{"dimension_missing", "settings.vector.dimension", nil}},
		"metric":    {Settings{Vector: VectorSettings{Dimension: 4, Metric: "x"}}, wrong{"word_unknown", "settings.vector.metric", []string{"cosine, dot, l2"}}},
		"blank":     {Settings{Vector: VectorSettings{Dimension: 4, Model: " "}}, wrong{"name_blank", "settings.vector.model", nil}},
		"language":  {Settings{Language: "xx"}, wrong{"language_unknown", "settings.language", []string{"no such language"}}},
		"horizon":   {Settings{Horizon: time.Second}, wrong{"horizon_out_of_range", "settings.horizon", []string{"1s", "1m0s"}}},
	} {
		t.Run(name, func(t *testing.T) { checkWrong(t, c.s.Normalize(known), c.w) })
	}
}

func TestNames(t *testing.T) {
	for _, id := range []ID{"a", "A.b_c~d:e@f-9", ID(long(MaxIDLength)), "...", NewID()} {
		checkWrong(t, id.Check("id"), fine)
	}
	for _, id := range []ID{"", ".", "..", "a/b", "a b", "naïve", "a\n", "a\x00", ID(long(MaxIDLength + 1)), "a%20"} {
		checkWrong(t, id.Check("field"), wrong{"id_invalid", "field", nil})
	}
	for _, n := range []SpaceName{"a", "0", "a-b_c", SpaceName(long(64))} {
		checkWrong(t, n.Check(), fine)
	}
	for _, n := range []SpaceName{"", "A", "-a", "_a", "a b", "a/b", "é", "a\n", SpaceName(long(65))} {
		checkWrong(t, n.Check(), wrong{"space_name_invalid", "space", nil})
	}
	for _, word := range []string{"", "disk", "process"} {
		if d, err := ParseDurability(word); err != nil || d.String() != word {
			t.Error(word, d, err)
		}
	}
	_, err := ParseOnConflict("maybe")
	checkWrong(t, err, wrong{"word_unknown", "on_conflict", []string{`"maybe"`, "error, keep, replace"}})
	_, err = ParseForgetMode("maybe")
	checkWrong(t, err, wrong{"word_unknown", "mode", []string{"delete, erase, suppress"}})
	_, err = ParseDirection("up")
	checkWrong(t, err, wrong{"word_unknown", "direction", []string{"both, in, out"}})
	_, err = ParseKind("kinds[0]", "thing")
	checkWrong(t, err, wrong{"word_unknown", "kinds[0]", []string{"concept, entity, episode"}})
}

func TestVectorRules(t *testing.T) {
	s := VectorSettings{Dimension: 2, Metric: MetricCosine}
	for name, c := range map[string]struct {
		v []float32
		s VectorSettings
		w wrong
	}{
		"none":      {nil, s, fine},
		"right":     {[]float32{1, 0}, s, fine},
		"length":    {[]float32{1}, s, wrong{"vector_dimension_mismatch", "v", []string{"1 numbers", "vectors of 2", `"sp"`}}},
		"no space":  {[]float32{1}, VectorSettings{}, wrong{"space_without_vectors", "v", []string{`"sp"`}}},
		"zero":      {[]float32{0, 0}, s, wrong{"vector_zero", "v", nil}},
		"zero, dot": {[]float32{0, 0}, VectorSettings{Dimension: 2, Metric: MetricDot}, fine},
		"inf":       {[]float32{0, float32(math.Inf(1))}, s, wrong{"vector_not_finite", "v[1]", nil}},
	} {
		t.Run(name, func(t *testing.T) { checkWrong(t, CheckVectorFor("v", c.v, "sp", c.s), c.w) })
	}
}

// TestNormalizeKeepsHandsOff: what the caller's maps, lists and pointers hold is
// read, never written: they may be shared between calls that run side by side.
func TestNormalizeKeepsHandsOff(t *testing.T) {
	there := time.Date(2026, 1, 1, 12, 0, 0, 0, time.FixedZone("east", 3600))
	e := Episode{Text: "x", Happened: &Interval{From: there, To: there}, ExpiresAt: &there, Metadata: Metadata{"n": 1, "l": []any{2}},
		Links: []LinkDraft{{To: "a", Type: "t", Metadata: Metadata{"n": 3}, Valid: &Validity{From: &there}}}}
	same := e
	same.Happened, same.Metadata = ptr(*e.Happened), maps.Clone(e.Metadata)
	same.Links = []LinkDraft{{To: "a", Type: "t", Metadata: Metadata{"n": 3}, Valid: &Validity{From: &there}}}
	given := e
	if err := e.Normalize(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(given, same) {
		t.Errorf("Normalize changed what it was given:\n%+v\n%+v", given, same)
	}
	if e.Metadata["n"] != 1.0 || e.Metadata["l"].([]any)[0] != 2.0 || e.Links[0].Metadata["n"] != 3.0 || e.Happened.From.Location() != time.UTC || e.Links[0].Valid.From.Location() != time.UTC {
		t.Errorf("not in canonical form: %+v", e)
	}
	f := Filter{Happened: &Range{From: there}, Metadata: map[string]Condition{"n": {In: []any{1}}}}
	mine, conditions := f.Happened, f.Metadata
	if err := f.Normalize(); err != nil {
		t.Fatal(err)
	}
	if mine.From.Location() == time.UTC || conditions["n"].In[0] != 1 || f.Metadata["n"].In[0] != 1.0 || f.Happened.From.Location() != time.UTC {
		t.Errorf("%+v %+v", f, conditions)
	}
}

// TestErrorPaths: an error inside a list names where it stands in the request.
func TestErrorPaths(t *testing.T) {
	err := InField("memories[3]", InField("links[1]", Invalid("c", "to", "to is wrong")))
	checkWrong(t, err, wrong{"c", "memories[3].links[1].to", []string{"memories[3].links[1].to is wrong"}})
	plain := errors.New("disk")
	if InField("x", plain) != plain || KindOf(plain) != KindInternal || KindOf(InOp("get", plain)) != KindInternal {
		t.Error("an untyped error is internal and keeps its words")
	}
	a, b := NotFound("c", "x"), NotFound("c", "y").Hinted("do %s", "z").With("k", 1)
	if !errors.Is(b, a) || errors.Is(b, NotFound("d", "x")) || b.Hint != "do z" || a.Details != nil {
		t.Error("errors match by code, and copies leave the first alone")
	}
	if e := InOp("get", InOp("list", a)); e.Error() != "list: x" {
		t.Error("the innermost verb is named:", e)
	}
}

// FuzzNormalize: whatever JSON says, Normalize refuses with a typed error that
// names a field, or leaves something that it accepts unchanged a second time.
func FuzzNormalize(f *testing.F) {
	f.Add([]byte(`{"ID":"a","Text":"x","Metadata":{"a":1,"b":[true,"x"]},"Tags":["t"]}`))
	f.Add([]byte(`{"Text":"x","Happened":{"From":"2026-01-01T00:00:00Z","To":"2026-01-02T00:00:00+02:00","Precision":"day"},"Place":{"Lat":1,"Lon":2}}`))
	f.Add([]byte(`{"Vector":[1,2,3],"Links":[{"To":"a","Type":"t","Valid":{"From":"0001-01-01T00:00:00Z"}}],"Entities":[{"Type":"t","Name":"n"}]}`))
	f.Add([]byte(`{"Fact":{"Subject":"a","Attribute":"b","Value":"\u0000"},"Salience":1e300,"ExpiresAt":"9999-12-31T23:59:59-01:00"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Episode
		if json.Unmarshal(b, &e) != nil {
			return
		}
		if err := e.Normalize(); err != nil {
			var typed *Error
			if !errors.As(err, &typed) || typed.Field == "" || typed.Code == "" {
				t.Fatalf("%s: %#v", b, err)
			}
			return
		}
		again := e
		if err := again.Normalize(); err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%s: %v\n%+v\n%+v", b, err, e, again)
		}
		if e.Size() < len(e.Text) {
			t.Fatal("Size is less than the text")
		}
	})
}
