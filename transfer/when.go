package transfer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// A whenForm is a way to write a time. Those that are no instant are intervals,
// as long as what was written. Without a zone they are in UTC: a file says the
// same everywhere.
type whenForm struct {
	layout    string
	precision string
	end       func(time.Time) time.Time
}

var whenForms = []whenForm{
	{time.RFC3339Nano, "", nil},
	{"2006-01-02T15:04:05", "", nil},
	{"2006-01-02 15:04:05", "", nil},
	{"2006-01-02T15:04", "", nil},
	{"2006-01-02 15:04", "", nil},
	{"2006-01-02 15:04:05Z07:00", "", nil},
	{"2006-01-02", "day", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01", "month", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006", "year", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
}

// happen puts a time into a memory: one of whenForms, or seconds (or
// milliseconds) since 1970.
func happen(m *engramv1.MemoryInput, s string) error {
	if err := happenUnchecked(m, s); err != nil {
		return err
	}
	for _, t := range []*timestamppb.Timestamp{m.HappenedAt, m.Happened.GetFrom(), m.Happened.GetTo()} {
		if t != nil && t.CheckValid() != nil {
			return memory.Invalid("time_out_of_range", "happened_at", "happened_at is %.48q, which is outside the years 1 to 9999", s)
		}
	}
	return nil
}

func happenUnchecked(m *engramv1.MemoryInput, s string) error {
	s = strings.TrimSpace(s)
	for i := range whenForms {
		f := &whenForms[i]
		t, err := time.Parse(f.layout, s)
		switch {
		case err != nil:
		case f.end == nil:
			m.HappenedAt = timestamppb.New(t)
			return nil
		default:
			m.Happened = &engramv1.Happened{From: timestamppb.New(t), To: timestamppb.New(f.end(t)), Precision: f.precision}
			return nil
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(x) || math.Abs(x) > 1e14 {
		return memory.Invalid("time_invalid", "happened_at", "happened_at is %.48q, which is not a time", s).
			Hinted("write 2026-05-04T10:00:00Z, 2026-05-04, 2026-05 or seconds since 1970")
	}
	m.HappenedAt = timestamppb.New(fromUnix(x))
	return nil
}

// milliFrom is from when on a number of seconds is one of milliseconds: as
// seconds it is in the year 5138, as milliseconds in 1973.
const milliFrom = 1e11

func fromUnix(x float64) time.Time {
	if math.Abs(x) >= milliFrom {
		return time.UnixMilli(int64(x)).UTC()
	}
	whole, part := math.Modf(x)
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1000).UTC()
}

// text is a JSON string or number as its words.
func text(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	if raw[0] != '"' {
		return string(raw), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("not a string: %w", err)
	}
	return s, nil
}
