package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

func TestWhere(t *testing.T) {
	for _, c := range []struct {
		where []string
		want  string // "" for an error
	}{
		{[]string{"a=1"}, `{"a":{"in":[1]}}`},
		{[]string{"a=b c"}, `{"a":{"in":["b c"]}}`},
		{[]string{`a="1"`}, `{"a":{"in":["1"]}}`},
		{[]string{`a=[1,"x"]`}, `{"a":{"in":[1,"x"]}}`},
		{[]string{"a=x>y"}, `{"a":{"in":["x>y"]}}`},
		{[]string{"a="}, `{"a":{"in":[""]}}`},
		{[]string{"a>=1", "a<2"}, `{"a":{"gte":1,"lt":2}}`},
		{[]string{"a > 1", "b<=x"}, `{"a":{"gt":1},"b":{"lte":"x"}}`},
		{[]string{"a", "!b"}, `{"a":{"exists":true},"b":{"exists":false}}`},
		{[]string{"a=true", "b=null"}, `{"a":{"in":[true]},"b":{"in":["null"]}}`},
		{[]string{"a=1", "a=2"}, ""},
		{[]string{"=1"}, ""},
		{[]string{""}, ""},
	} {
		got, err := conditions(c.where)
		if (err != nil) != (c.want == "") {
			t.Errorf("%q: error %v", c.where, err)
		} else if err == nil && string(wirejson.Append(nil, got)) != c.want {
			t.Errorf("%q is %s, want %s", c.where, wirejson.Append(nil, got), c.want)
		}
	}
}

func TestNear(t *testing.T) {
	p, err := placeFilter("", " 47.37, -8.54 ,2.5km")
	if err != nil || p.GetLat() != 47.37 || p.GetLon() != -8.54 || p.GetRadiusM() != 2500 {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range []string{"1", "1,2", "1,2,3,4", "a,2,3", "1,NaN,3", "1,2,3ly"} {
		if _, err := placeFilter("", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A time is shown as it was written, whatever the zone of who reads it.
func TestTimesComeBack(t *testing.T) {
	old := time.Local
	defer func() { time.Local = old }()
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 5*3600+1800), time.FixedZone("west", -9*3600)} {
		time.Local = zone
		for _, s := range []string{"2025", "2024-02", "2025-03-04", "2025-03-04 15:04", "2025-03-04 15:04:05"} {
			in := &engramv1.MemoryInput{}
			if err := happen(in, s); err != nil {
				t.Fatal(err)
			}
			if got := when(&engramv1.Memory{HappenedAt: in.HappenedAt, Happened: in.Happened}); got != s {
				t.Errorf("%s in %s is shown as %s", s, zone, got)
			}
		}
	}
	if s := when(&engramv1.Memory{Happened: &engramv1.Happened{From: timestamppb.New(time.Unix(0, 0)), To: timestamppb.New(time.Unix(7200, 0))}}); s == "" {
		t.Error("an odd interval is not shown")
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"1": 1, "10B": 10, "1KiB": 1024, "1.5 MiB": 3 << 19, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, err := parseSize(in); got != want || err != nil {
			t.Errorf("%s is %d, %v; want %d", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "0", "-1", "MiB", "1MB", "NaN", "1e300GiB"} {
		if n, err := parseSize(bad); err == nil {
			t.Errorf("%q is taken as %d", bad, n)
		}
	}
}

// What is stored must not speak to the terminal of who reads it.
func TestPlain(t *testing.T) {
	if got := oneLine("a\x1b[31m r\u202eed\u2066\u009b\x07\n b\tc"); got != "a [31m red b c" {
		t.Errorf("got %q", got)
	}
	if got := cut("äöü äöü", 5); got != "äöü…" && got != "äöü …" {
		t.Errorf("got %q", got)
	}
}
