package main

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// Times are written as people do: a year, a month, a day, a minute or a full RFC
// 3339 time. All but the last are in the time zone of who types them. A time
// that is not an instant is an interval, as long as what was written.

type timeForm struct {
	layout    string
	precision string // of the API; "" for an instant
	end       func(time.Time) time.Time
}

var timeForms = []timeForm{
	{"2006", "year", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", "month", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006-01-02", "day", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01-02 15:04", "", nil},
	{"2006-01-02T15:04", "", nil},
	{"2006-01-02 15:04:05", "", nil},
	{"2006-01-02T15:04:05", "", nil},
	{time.RFC3339Nano, "", nil},
}

const timeHelp = "write 2025, 2025-03, 2025-03-04, \"2025-03-04 15:04\" or 2025-03-04T15:04:05Z"

// parseTime reads a time; the form says how exact it is.
func parseTime(flag, s string) (time.Time, *timeForm, error) {
	for i := range timeForms {
		if t, err := time.ParseInLocation(timeForms[i].layout, s, time.Local); err == nil {
			return t, &timeForms[i], nil
		}
	}
	return time.Time{}, nil, usage("--%s: %q is not a time", flag, s).hinted("%s", timeHelp)
}

// stamp reads a time flag; nil when it was not given.
func stamp(flag, s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	t, _, err := parseTime(flag, s)
	if err != nil {
		return nil, err
	}
	return timestamppb.New(t), nil
}

// timeRange reads a pair of flags; nil when neither was given. The end is not
// included: --to 2025-03 ends where March begins.
func timeRange(fromFlag, from, toFlag, to string) (*engramv1.TimeRange, error) {
	if from == "" && to == "" {
		return nil, nil
	}
	a, err := stamp(fromFlag, from)
	if err != nil {
		return nil, err
	}
	b, err := stamp(toFlag, to)
	if err != nil {
		return nil, err
	}
	return &engramv1.TimeRange{From: a, To: b}, nil
}

// happen puts a time into a memory: an instant, or an interval when it is less
// exact.
func happen(m *engramv1.MemoryInput, s string) error {
	t, form, err := parseTime("happened-at", s)
	if err != nil {
		return err
	}
	if form.end == nil {
		m.HappenedAt = timestamppb.New(t)
		return nil
	}
	m.Happened = &engramv1.Happened{From: timestamppb.New(t), To: timestamppb.New(form.end(t)), Precision: form.precision}
	return nil
}

// when shows when a memory happened, in the reader's time zone and no more
// exact than it is known.
func when(m *engramv1.Memory) string {
	if at := m.GetHappenedAt(); at != nil {
		return shown(at)
	}
	h := m.GetHappened()
	if h == nil {
		return ""
	}
	from, to := h.GetFrom().AsTime().In(time.Local), h.GetTo().AsTime().In(time.Local)
	for _, f := range timeForms {
		if f.end != nil && f.precision == h.GetPrecision() && f.end(from).Equal(to) {
			return from.Format(f.layout)
		}
	}
	return shown(h.GetFrom()) + " to " + shown(h.GetTo())
}

// shown shows a moment to the second, without what is zero.
func shown(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	x := t.AsTime().In(time.Local)
	switch {
	case x.Second() != 0:
		return x.Format("2006-01-02 15:04:05")
	case x.Hour() != 0 || x.Minute() != 0:
		return x.Format("2006-01-02 15:04")
	}
	return x.Format("2006-01-02")
}
