package facet

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bits-and-blooms/bitset"
	"github.com/engramdb/engram/memory"
)

// model is the index without any cleverness: a list of entries.
type model struct {
	rows  []*modelRow
	seen  map[memory.Ordinal]bool
	floor memory.LSN
}

type modelRow struct {
	Entry
	died memory.LSN
}

func (m *model) put(e Entry) {
	if m.seen == nil {
		m.seen = map[memory.Ordinal]bool{}
	}
	for _, r := range m.rows {
		if !m.seen[e.Ordinal] {
			break
		}
		if r.Ordinal == e.Ordinal {
			r.Suppressed = e.Suppressed
			if r.died == 0 {
				r.died = e.Born
			}
		}
	}
	m.seen[e.Ordinal] = true
	m.rows = append(m.rows, &modelRow{Entry: e})
}

func (m *model) end(ord memory.Ordinal, at memory.LSN) {
	for _, r := range m.rows {
		if r.Ordinal == ord && r.died == 0 {
			r.died = at
		}
	}
}

func (m *model) suppress(ord memory.Ordinal, suppressed bool) {
	for _, r := range m.rows {
		if r.Ordinal == ord {
			r.Suppressed = suppressed
		}
	}
}

func (m *model) remove(gone func(*modelRow) bool) []uint32 {
	var slots []uint32
	m.rows = slices.DeleteFunc(m.rows, func(r *modelRow) bool {
		if gone(r) {
			slots = append(slots, r.Slot)
			return true
		}
		return false
	})
	return slots
}

func (m *model) purge(before memory.LSN) []uint32 {
	m.floor = max(m.floor, before)
	return m.remove(func(r *modelRow) bool { return r.died != 0 && r.died <= before })
}

func (m *model) erase(ord memory.Ordinal) []uint32 {
	return m.remove(func(r *modelRow) bool { return r.Ordinal == ord })
}

func (r *modelRow) visible(view memory.LSN, now time.Time) bool {
	return r.Born <= view && (r.died == 0 || view < r.died) && !r.Suppressed && (r.Expires == nil || now.Before(*r.Expires))
}

func (m *model) selected(f *memory.Filter, view memory.LSN, now time.Time) []uint32 {
	slots := []uint32{}
	for _, r := range m.rows {
		if r.visible(view, now) && matches(f, &r.Entry) {
			slots = append(slots, r.Slot)
		}
	}
	return slots
}

func matches(f *memory.Filter, e *Entry) bool {
	in := func(list []string) func(string) bool {
		return func(s string) bool { return slices.Contains(list, s) }
	}
	all := func(want, have []string) bool {
		return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(have, s) })
	}
	switch {
	case len(f.Kinds) > 0 && !slices.Contains(f.Kinds, e.Kind),
		!all(f.Tags, e.Tags),
		len(f.AnyTags) > 0 && !slices.ContainsFunc(f.AnyTags, in(e.Tags)),
		slices.ContainsFunc(f.NotTags, in(e.Tags)),
		!all(f.People, e.People),
		f.Stream != "" && f.Stream != e.Stream,
		f.Happened != nil && (e.Happened == nil || !f.Happened.Holds(e.Happened.From, e.Happened.To)),
		f.Stored != nil && !f.Stored.Holds(e.Stored, e.Stored),
		f.Place != nil && !atPlace(f.Place, e.Place):
		return false
	}
	for k, c := range f.Metadata {
		if !conditionHolds(c, e.Metadata, k) {
			return false
		}
	}
	return true
}

func atPlace(f *memory.PlaceFilter, p *memory.Place) bool {
	if p == nil || f.Name != "" && !strings.EqualFold(f.Name, p.Name) {
		return false
	}
	return !f.HasCoordinate || p.Lat != nil && haversine(f.Lat, f.Lon, *p.Lat, *p.Lon) <= f.RadiusMetres
}

func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	rad := math.Pi / 180
	sinLat, sinLon := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	a := sinLat*sinLat + math.Cos(lat1*rad)*math.Cos(lat2*rad)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, a)))
}

func conditionHolds(c memory.Condition, m memory.Metadata, k string) bool {
	v, exists := m[k]
	equals := func(want any) bool {
		if list, ok := v.([]any); ok {
			return slices.Contains(list, want)
		}
		return v == want
	}
	if c.Exists != nil && *c.Exists != exists {
		return false
	}
	if c.Equals != nil && (!exists || !equals(c.Equals)) {
		return false
	}
	if c.In != nil && (!exists || !slices.ContainsFunc(c.In, equals)) {
		return false
	}
	bound := func(b any, ok func(int) bool) bool {
		if b == nil {
			return true
		}
		switch b := b.(type) {
		case float64:
			f, is := v.(float64)
			return is && ok(cmp.Compare(f, b))
		case string:
			s, is := v.(string)
			return is && ok(cmp.Compare(s, b))
		}
		return false
	}
	return bound(c.GTE, func(c int) bool { return c >= 0 }) && bound(c.GT, func(c int) bool { return c > 0 }) &&
		bound(c.LTE, func(c int) bool { return c <= 0 }) && bound(c.LT, func(c int) bool { return c < 0 })
}

// page lists as Page does.
func (m *model) page(slots []uint32, order Order, ascending bool) []uint32 {
	rows := map[uint32]*modelRow{}
	for _, r := range m.rows {
		rows[r.Slot] = r
	}
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b uint32) int {
		x, y := rows[a], rows[b]
		c := 0
		switch order {
		case ByHappened:
			if (x.Happened == nil) != (y.Happened == nil) {
				if x.Happened == nil {
					return 1
				}
				return -1
			}
			if x.Happened != nil {
				c = x.Happened.From.Compare(y.Happened.From)
			}
		case ByTime:
			c = x.when().Compare(y.when())
		}
		if c == 0 {
			c = cmp.Compare(x.Ordinal, y.Ordinal)
		}
		if !ascending {
			c = -c
		}
		return c
	})
	return slots
}

func (r *modelRow) when() time.Time {
	if r.Happened != nil {
		return r.Happened.From
	}
	return r.Stored
}

func slotsOf(set *bitset.BitSet) []uint32 {
	slots := []uint32{}
	for i := range set.EachSet() {
		slots = append(slots, uint32(i))
	}
	return slots
}
