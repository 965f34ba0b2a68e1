package facet

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/engramdb/engram/memory"
)

// Each line is a condition on the key "k" and the values that hold.
func TestConditions(t *testing.T) {
	values := []any{
		-1.0, 0.0, 1.0, 2.0, "1", "2", "ab", "b", "", true, false,
		[]any{}, []any{1.0, "b"}, []any{true}, []any{2.0, 2.0}, nil, // nil: has no "k"
	}
	x := New()
	for i, v := range values {
		m := memory.Metadata{"other": 1.0}
		if v != nil {
			m["k"] = v
		}
		x.Put(Entry{Slot: uint32(i), Ordinal: memory.Ordinal(i + 1), Version: 1, Kind: memory.KindEpisode, Born: 1, Stored: epoch, Metadata: m})
	}
	negativeZero := math.Copysign(0, -1)
	for _, c := range []struct {
		c    memory.Condition
		want string
	}{
		{memory.Condition{Equals: 1.0}, "[1 [1 b]]"},
		{memory.Condition{Equals: negativeZero}, "[0]"},
		{memory.Condition{Equals: "1"}, "[1]"},
		{memory.Condition{Equals: "b"}, "[b [1 b]]"},
		{memory.Condition{Equals: ""}, "[]"},
		{memory.Condition{Equals: true}, "[true [true]]"},
		{memory.Condition{Equals: false}, "[false]"},
		{memory.Condition{Equals: "no"}, "[]"},
		{memory.Condition{In: []any{}}, "[]"},
		{memory.Condition{In: []any{2.0, "ab", false}}, "[2 ab false [2 2]]"},
		{memory.Condition{In: []any{2.0, -1.0, 0.0, 7.0}}, "[-1 0 2 [2 2]]"},
		{memory.Condition{GTE: 1.0}, "[1 2]"},
		{memory.Condition{GT: 1.0}, "[2]"},
		{memory.Condition{GT: -1.0, LT: 1.0}, "[0]"},
		{memory.Condition{GT: 0.0}, "[1 2]"},
		{memory.Condition{LT: 0.0}, "[-1]"},
		{memory.Condition{LTE: 0.0}, "[-1 0]"},
		{memory.Condition{GTE: 2.0, LTE: 1.0}, "[]"},
		{memory.Condition{GTE: "2"}, "[2 ab b]"},
		{memory.Condition{GT: "2"}, "[ab b]"},
		{memory.Condition{GT: "ab", LTE: "b"}, "[b]"},
		{memory.Condition{LT: "2"}, "[1 ]"},
		{memory.Condition{GTE: "1", LT: 2.0}, "[]"},
		{memory.Condition{GTE: 0.0, Equals: 2.0}, "[2]"},
		{memory.Condition{Exists: new(false)}, "[<nil>]"},
		{memory.Condition{Exists: new(true), LT: 0.0}, "[-1]"},
	} {
		f := &memory.Filter{Metadata: map[string]memory.Condition{"k": c.c}}
		set, _ := x.Select(f, 1, epoch)
		var got []any
		for _, slot := range slotsOf(set) {
			got = append(got, values[slot])
		}
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%+v holds for %s, want %s", c.c, s, c.want)
		}
	}
	if set, n := x.Select(&memory.Filter{Metadata: map[string]memory.Condition{"k": {Exists: new(true)}}}, 1, epoch); n != len(values)-1 || set.Test(uint(len(values)-1)) {
		t.Errorf("exists holds for %d of %d", n, len(values)-1)
	}
	if _, n := x.Select(&memory.Filter{Metadata: map[string]memory.Condition{"absent": {Exists: new(false)}}}, 1, epoch); n != len(values) {
		t.Errorf("an absent key is absent from %d of %d", n, len(values))
	}
}

// Times to the nanosecond, in years that UnixNano cannot hold.
func TestRangesOfTime(t *testing.T) {
	x := New()
	base := time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 200 {
		at := base.Add(time.Duration(i))
		x.Put(Entry{Slot: uint32(i), Ordinal: memory.Ordinal(i + 1), Kind: memory.KindEpisode, Born: 1, Stored: at, Happened: memory.At(at)})
	}
	r := &memory.Range{From: base.Add(50), To: base.Add(60)}
	for _, f := range []*memory.Filter{{Stored: r}, {Happened: r}} {
		set, n := x.Select(f, 1, epoch)
		if got := slotsOf(set); n != 10 || !slices.Equal(got, []uint32{50, 51, 52, 53, 54, 55, 56, 57, 58, 59}) {
			t.Errorf("%+v holds for %v", f, got)
		}
	}
}

func TestCircle(t *testing.T) {
	cities := []struct {
		name     string
		lat, lon float64
	}{{"Vienna", 48.2082, 16.3738}, {"Bratislava", 48.1486, 17.1077}, {"Suva", -18.1416, 178.4419}, {"Apia", -13.8333, -171.7667}, {"North Pole", 90, 0}}
	x := New()
	for i, c := range cities {
		x.Put(Entry{Slot: uint32(i), Ordinal: memory.Ordinal(i + 1), Kind: memory.KindEpisode, Born: 1, Stored: epoch, Place: &memory.Place{Name: c.name, Lat: &c.lat, Lon: &c.lon}})
	}
	for _, c := range []struct {
		lat, lon, radius float64
		want             []uint32
	}{
		{48.2082, 16.3738, 1, []uint32{0}},
		{48.2082, 16.3738, 54_000, []uint32{0}}, // Bratislava is 54.9 km away
		{48.2082, 16.3738, 55_500, []uint32{0, 1}},
		{-18.1416, -181.5581 + 360, 1_200_000, []uint32{2, 3}}, // over the date line
		{90, 123, 10, []uint32{4}},                             // all longitudes meet
		{0, 0, memory.MaxRadius, []uint32{0, 1, 2, 3, 4}},
	} {
		set, _ := x.Select(&memory.Filter{Place: &memory.PlaceFilter{HasCoordinate: true, Lat: c.lat, Lon: c.lon, RadiusMetres: c.radius}}, 1, epoch)
		if got := slotsOf(set); !slices.Equal(got, c.want) {
			t.Errorf("%v m round %v, %v: %v, want %v", c.radius, c.lat, c.lon, got, c.want)
		}
	}
	// The chord and the haversine formula are the same distance.
	for _, a := range cities {
		for _, b := range cities {
			metres := haversine(a.lat, a.lon, b.lat, b.lon)
			for _, d := range []float64{-0.001, 0.001} {
				want := d > 0
				p := &memory.PlaceFilter{HasCoordinate: true, Lat: a.lat, Lon: a.lon, RadiusMetres: max(metres+d, 1e-9)}
				set, _ := x.Select(&memory.Filter{Place: p}, 1, epoch)
				slot := slices.Index(cities, b)
				if metres > 1 && set.Test(uint(slot)) != want {
					t.Errorf("%s is %v m from %s; within %v: %v", b.name, metres, a.name, p.RadiusMetres, !want)
				}
			}
		}
	}
}

func TestPlaceNamesFold(t *testing.T) {
	for _, same := range [][2]string{{"Köln", "kÖLN"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"K", "\u212a"}, {"wien", "WIEN"}, {"", ""}} {
		if folded(same[0]) != folded(same[1]) {
			t.Errorf("%q and %q are different places", same[0], same[1])
		}
	}
	if folded("Wien") == folded("Wein") {
		t.Error("Wien is Wein")
	}
}
