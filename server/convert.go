package server

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// From the schema to package memory. These functions translate; what may be said
// is checked in memory alone. They refuse only what has no place to go: two ways
// of saying one thing at once, and fields that nothing honours yet.

func episodeOf(m *engramv1.MemoryInput) (memory.Episode, error) {
	e := memory.Episode{
		ID: memory.ID(m.GetId()), Title: m.GetTitle(), Text: m.GetText(), Vector: m.GetVector(),
		People: m.GetPeople(), Tags: m.GetTags(), Metadata: metadataOf(m.GetMetadata()),
		Stream: m.GetStream(), Source: m.GetSource(), ExpiresAt: timeOf(m.GetExpiresAt()),
	}
	if m == nil {
		return e, nil
	}
	e.Salience = m.Salience
	if f := m.Fact; f != nil {
		e.Fact = &memory.Fact{Subject: f.Subject, Attribute: f.Attribute, Value: f.Value}
	}
	if p := m.Place; p != nil {
		e.Place = &memory.Place{Name: p.Name, Lat: p.Lat, Lon: p.Lon}
	}
	for _, r := range m.Entities {
		e.Entities = append(e.Entities, memory.EntityRef{ID: memory.ID(r.GetId()), Type: r.GetType(), Name: r.GetName(), Role: r.GetRole()})
	}
	for _, l := range m.Links {
		e.Links = append(e.Links, memory.LinkDraft{To: memory.ID(l.GetTo()), Type: l.GetType(), Weight: l.Weight,
			Metadata: metadataOf(l.GetMetadata()), Valid: validityOf(l.GetValid())})
	}
	var err error
	e.Happened, err = happenedOf(m)
	return e, err
}

func happenedOf(m *engramv1.MemoryInput) (*memory.Interval, error) {
	switch at, in := m.HappenedAt, m.Happened; {
	case at != nil && in != nil:
		return nil, memory.Invalid("happened_twice", "happened_at", "happened_at and happened are both given; give the one that you know")
	case at != nil:
		return memory.At(at.AsTime()), nil
	case in == nil:
		return nil, nil
	case in.From == nil:
		return nil, memory.Invalid("interval_incomplete", "happened.from", "happened.from is missing; an interval has a start")
	case in.To == nil:
		return nil, memory.Invalid("interval_incomplete", "happened.to", "happened.to is missing; an interval has an end")
	default:
		return &memory.Interval{From: in.From.AsTime(), To: in.To.AsTime(), Precision: memory.Precision(in.Precision)}, nil
	}
}

func timeOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	x := t.AsTime()
	return &x
}

// zeroable gives the zero time for none.
func zeroable(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func validityOf(r *engramv1.TimeRange) *memory.Validity {
	if r == nil {
		return nil
	}
	return &memory.Validity{From: timeOf(r.From), To: timeOf(r.To)}
}

func rangeOf(r *engramv1.TimeRange) *memory.Range {
	if r == nil {
		return nil
	}
	return &memory.Range{From: zeroable(r.From), To: zeroable(r.To)}
}

func metadataOf(s *structpb.Struct) memory.Metadata {
	if len(s.GetFields()) == 0 {
		return nil
	}
	return memory.Metadata(s.AsMap())
}

func idsOf(ss []string) []memory.ID {
	ids := make([]memory.ID, len(ss))
	for i, s := range ss {
		ids[i] = memory.ID(s)
	}
	return ids
}

// A filterer is every message that has the vocabulary of filters in it.
type filterer interface {
	GetKinds() []string
	GetTags() []string
	GetAnyTags() []string
	GetNotTags() []string
	GetPeople() []string
	GetStream() string
	GetHappened() *engramv1.TimeRange
	GetStored() *engramv1.TimeRange
	GetPlace() *engramv1.PlaceFilter
	GetMetadata() *structpb.Struct
}

func filterOf(f filterer) (memory.Filter, error) {
	out := memory.Filter{
		Tags: f.GetTags(), AnyTags: f.GetAnyTags(), NotTags: f.GetNotTags(), People: f.GetPeople(), Stream: f.GetStream(),
		Happened: rangeOf(f.GetHappened()), Stored: rangeOf(f.GetStored()),
	}
	for i, k := range f.GetKinds() {
		kind, err := memory.ParseKind("kinds["+strconv.Itoa(i)+"]", k)
		if err != nil {
			return out, err
		}
		out.Kinds = append(out.Kinds, kind)
	}
	var err error
	if out.Place, err = placeOf(f.GetPlace()); err != nil {
		return out, err
	}
	out.Metadata, err = conditionsOf(f.GetMetadata())
	return out, err
}

func placeOf(p *engramv1.PlaceFilter) (*memory.PlaceFilter, error) {
	if p == nil {
		return nil, nil
	}
	if (p.Lat == nil) != (p.Lon == nil) || p.Lat == nil && p.RadiusM != 0 {
		return nil, memory.Invalid("place_incomplete", "place", "place has only some of lat, lon and radius_m; a circle has all three")
	}
	return &memory.PlaceFilter{Name: p.Name, Lat: p.GetLat(), Lon: p.GetLon(), RadiusMetres: p.RadiusM, HasCoordinate: p.Lat != nil}, nil
}

func conditionsOf(s *structpb.Struct) (map[string]memory.Condition, error) {
	if len(s.GetFields()) == 0 {
		return nil, nil
	}
	out := make(map[string]memory.Condition, len(s.Fields))
	for _, k := range sortedKeys(s.Fields) {
		c, err := conditionOf("metadata."+k, s.Fields[k])
		if err != nil {
			return nil, err
		}
		out[k] = c
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

var operators = []string{"gte", "gt", "lte", "lt", "in", "exists"}

func conditionOf(field string, v *structpb.Value) (c memory.Condition, err error) {
	asked := v.GetStructValue()
	if asked == nil {
		if v.GetListValue() != nil {
			return c, memory.Invalid("condition_type", field, "%s is a list; ask {\"in\": [...]} for any of them", field)
		}
		if c.Equals = v.AsInterface(); c.Equals == nil {
			return c, memory.Invalid("condition_type", field, "%s is null; ask {\"exists\": false} for memories without it", field)
		}
		return c, nil
	}
	for _, op := range sortedKeys(asked.Fields) {
		if err := addOperator(&c, field+"."+op, op, asked.Fields[op]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// addOperator adds one operator to a condition.
func addOperator(c *memory.Condition, field, op string, v *structpb.Value) error {
	switch x := v.AsInterface(); op {
	case "gte":
		c.GTE = x
	case "gt":
		c.GT = x
	case "lte":
		c.LTE = x
	case "lt":
		c.LT = x
	case "in":
		list, ok := x.([]any)
		if !ok {
			return memory.Invalid("condition_type", field, "%s is not a list", field)
		}
		c.In = list
	case "exists":
		b, ok := x.(bool)
		if !ok {
			return memory.Invalid("condition_type", field, "%s is not true or false", field)
		}
		c.Exists = &b
	default:
		e := memory.Invalid("field_unknown", field, "%s is not something that can be asked of metadata", field)
		return e.Hinted("%s", wirejson.DidYouMean(op, operators))
	}
	return nil
}

func entityOf(id string, e *engramv1.EntityInput) memory.Entity {
	return memory.Entity{ID: memory.ID(id), Name: e.GetName(), Type: e.GetType(), Aliases: e.GetAliases(), Metadata: metadataOf(e.GetMetadata())}
}

func linkOf(l *engramv1.LinkInput) memory.Link {
	out := memory.Link{ID: memory.ID(l.GetId()), From: memory.ID(l.GetFrom()), To: memory.ID(l.GetTo()), Type: l.GetType(), Weight: 1,
		Metadata: metadataOf(l.GetMetadata()), Valid: validityOf(l.GetValid())}
	if l != nil && l.Weight != nil {
		out.Weight = *l.Weight
	}
	return out
}

func settingsOf(s *engramv1.Settings) (memory.Settings, error) {
	out := memory.Settings{Language: s.GetLanguage(), Horizon: s.GetHorizon().AsDuration(),
		Vector: memory.VectorSettings{Dimension: int(s.GetVector().GetDimension()), Metric: memory.Metric(s.GetVector().GetMetric()), Model: s.GetVector().GetModel()}}
	if s.GetRetention() != nil {
		return out, memory.Unimplemented("settings.retention", "settings.retention is not built yet")
	}
	var err error
	if out.Durability, err = memory.ParseDurability(s.GetDurability()); err != nil {
		return out, memory.InField("settings", err)
	}
	if l := s.GetLinks(); l != nil {
		out.Links = &memory.LinkSettings{Rules: l.GetRules()}
		for _, p := range l.GetPatterns() {
			out.Links.Patterns = append(out.Links.Patterns, memory.LinkPattern{Rule: p.GetRule(), Pattern: p.GetPattern(), Type: p.GetType()})
		}
	}
	return out, nil
}

// From package memory and the database to the schema.

func memoryPB(m *memory.Memory) *engramv1.Memory {
	out := &engramv1.Memory{
		Id: string(m.ID), Title: m.Title, Text: m.Text, Vector: m.Vector, People: m.People, Tags: m.Tags,
		Metadata: metadataPB(m.Metadata), Stream: m.Stream, Source: m.Source, Salience: m.Salience, ExpiresAt: optionalTimePB(m.ExpiresAt),
		Entities: entityRefsPB(m.Entities), Kind: m.Kind.String(), Version: m.Version, StoredAt: timestamppb.New(m.StoredAt),
		Lsn: uint64(m.LSN), Model: m.Model, VectorMade: m.Made, Suppressed: m.Suppressed, Place: placePB(m.Place), Fact: factPB(m.Fact),
	}
	out.HappenedAt, out.Happened = happenedPB(m.Happened)
	for i := range m.LinksOf {
		out.Links = append(out.Links, linkPB(&m.LinksOf[i]))
	}
	for _, v := range m.Versions {
		out.Versions = append(out.Versions, &engramv1.MemoryVersion{Version: v.Version, Lsn: uint64(v.LSN), StoredAt: timestamppb.New(v.StoredAt)})
	}
	return out
}

// inputPB is an episode as its caller would say it, to be patched.
func inputPB(e *memory.Episode) *engramv1.MemoryInput {
	out := &engramv1.MemoryInput{
		Title: e.Title, Text: e.Text, Vector: e.Vector, People: e.People, Tags: e.Tags, Metadata: metadataPB(e.Metadata),
		Stream: e.Stream, Source: e.Source, Salience: e.Salience, ExpiresAt: optionalTimePB(e.ExpiresAt), Place: placePB(e.Place), Fact: factPB(e.Fact),
	}
	out.HappenedAt, out.Happened = happenedPB(e.Happened)
	return out
}

func happenedPB(i *memory.Interval) (*timestamppb.Timestamp, *engramv1.Happened) {
	if i == nil {
		return nil, nil
	}
	if i.IsInstant() && i.Precision == "" {
		return timestamppb.New(i.From), nil
	}
	return nil, &engramv1.Happened{From: timestamppb.New(i.From), To: timestamppb.New(i.To), Precision: string(i.Precision)}
}

func placePB(p *memory.Place) *engramv1.Place {
	if p == nil {
		return nil
	}
	return &engramv1.Place{Name: p.Name, Lat: p.Lat, Lon: p.Lon}
}

func factPB(f *memory.Fact) *engramv1.Fact {
	if f == nil {
		return nil
	}
	return &engramv1.Fact{Subject: f.Subject, Attribute: f.Attribute, Value: f.Value}
}

func entityRefsPB(rs []memory.EntityRef) []*engramv1.EntityRef {
	out := make([]*engramv1.EntityRef, len(rs))
	for i, r := range rs {
		out[i] = &engramv1.EntityRef{Id: string(r.ID), Type: r.Type, Name: r.Name, Role: r.Role}
	}
	return out
}

func optionalTimePB(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// metadataPB is never nil, so that metadata is always there to look into.
func metadataPB(m memory.Metadata) *structpb.Struct {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(m))}
	for k, v := range m {
		if x := looseValue(v); x != nil {
			s.Fields[k] = x
		}
	}
	return s
}

func entityPB(e *memory.Entity) *engramv1.Entity {
	out := &engramv1.Entity{Id: string(e.ID), Name: e.Name, Type: e.Type, Aliases: e.Aliases, Metadata: metadataPB(e.Metadata),
		Version: e.Version, StoredAt: timestamppb.New(e.StoredAt), Lsn: uint64(e.LSN), Kind: memory.KindEntity.String()}
	for _, m := range e.Merged {
		out.Merged = append(out.Merged, &engramv1.MergedEntity{Id: string(m.ID), Name: m.Name, Merge: uint64(m.Merge)})
	}
	return out
}

func linkPB(l *memory.Link) *engramv1.Link {
	return &engramv1.Link{Id: string(l.ID), From: string(l.From), To: string(l.To), Type: l.Type, Weight: l.Weight, Metadata: metadataPB(l.Metadata),
		Valid: validityPB(l.Valid), Rule: l.Rule, Version: l.Version, StoredAt: timestamppb.New(l.StoredAt), Lsn: uint64(l.LSN), RuleVersion: l.RuleVersion}
}

func validityPB(v *memory.Validity) *engramv1.TimeRange {
	if v == nil {
		return nil
	}
	return &engramv1.TimeRange{From: optionalTimePB(v.From), To: optionalTimePB(v.To)}
}

func settingsPB(s *memory.Settings) *engramv1.Settings {
	dimension := int32(s.Vector.Dimension)
	out := &engramv1.Settings{
		Vector:   &engramv1.VectorSettings{Dimension: &dimension, Metric: string(s.Vector.Metric), Model: s.Vector.Model},
		Language: s.Language, Durability: s.Durability.String(), Horizon: durationpb.New(s.Horizon),
	}
	if l := s.Links; l != nil {
		out.Links = &engramv1.LinkSettings{Rules: l.Rules}
		for _, p := range l.Patterns {
			out.Links.Patterns = append(out.Links.Patterns, &engramv1.LinkPattern{Rule: p.Rule, Pattern: p.Pattern, Type: p.Type})
		}
	}
	return out
}

func spacePB(i *engram.SpaceInfo) *engramv1.Space {
	out := &engramv1.Space{
		Name: string(i.Name), Settings: settingsPB(&i.Settings), Bytes: i.Bytes, Lsn: uint64(i.LSN), Horizon: uint64(i.Horizon),
		Counts: &engramv1.Counts{Episodes: i.Counts.Episodes, Concepts: i.Counts.Concepts, Entities: i.Counts.Entities,
			Links: i.Counts.Links, Bindings: i.Counts.Bindings},
		Indexes: make(map[string]*engramv1.IndexState, len(i.Indexes)),
	}
	if !i.Created.IsZero() {
		out.CreatedAt = timestamppb.New(i.Created)
	}
	if r := i.Reembed; r != nil {
		out.Reembed = reembedPB(r)
	}
	for _, x := range i.Indexes {
		out.Indexes[x.Name] = &engramv1.IndexState{Lsn: uint64(x.LSN), Tail: uint64(x.Tail), Bytes: uint64(x.Bytes)}
	}
	return out
}

func jobPB(j *engram.Job, requestID string) *engramv1.Job {
	out := &engramv1.Job{Id: j.ID, Kind: j.Kind, State: string(j.State), Progress: j.Progress, Result: details(j.Result)}
	if !j.Started.IsZero() {
		out.StartedAt = timestamppb.New(j.Started)
	}
	if !j.Ended.IsZero() {
		out.EndedAt = timestamppb.New(j.Ended)
	}
	if j.Err != nil {
		out.Error = itemError(j.Err, j.Kind, requestID)
	}
	return out
}

func eventPB(e *engram.Event) *engramv1.Event {
	out := &engramv1.Event{Type: e.Type, Lsn: uint64(e.LSN), Time: timestamppb.New(e.Time), Id: string(e.ID), Kind: e.Kind, Mode: e.Mode}
	if e.Memory != nil {
		out.Memory = memoryPB(e.Memory)
	}
	if e.Entity != nil {
		out.Entity = entityPB(e.Entity)
	}
	if e.Link != nil {
		out.Link = linkPB(e.Link)
	}
	return out
}
