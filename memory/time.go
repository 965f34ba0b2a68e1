package memory

import (
	"time"
)

// Precision says how exactly a time is known.
type Precision string

// precisions are the words that a Precision can be; "" is "as exact as written".
var precisions = map[Precision]string{"": "", "second": "second", "minute": "minute", "hour": "hour", "day": "day", "week": "week",
	"month": "month", "season": "season", "quarter": "quarter", "year": "year", "decade": "decade", "century": "century"}

// Interval is valid time: when something happened. From is included, To is not;
// an instant has To equal to From. Both are in UTC, in the years 1 to 9999.
type Interval struct {
	From      time.Time `cbor:"1,keyasint"`
	To        time.Time `cbor:"2,keyasint"`
	Precision Precision `cbor:"3,keyasint,omitempty"`
}

// At is the interval of an instant.
func At(t time.Time) *Interval {
	t = t.UTC()
	return &Interval{From: t, To: t}
}

// IsInstant says whether the interval is a single moment.
func (i *Interval) IsInstant() bool { return i.From.Equal(i.To) }

func (i *Interval) normalize(field string) error {
	var err error
	if i.From, err = checkTime(field+".from", i.From); err != nil {
		return err
	}
	if i.To, err = checkTime(field+".to", i.To); err != nil {
		return err
	}
	if i.To.Before(i.From) {
		return Invalid("interval_backwards", field, "%s ends at %s, before it begins at %s", field, stamp(i.To), stamp(i.From))
	}
	_, err = parseWord(field+".precision", string(i.Precision), precisions)
	return err
}

// Range is a half-open range of time in a filter: From is included, To is not;
// a zero end is open.
type Range struct {
	From, To time.Time
}

// Holds says whether the interval [from, to] touches the range. An instant is
// inside when From <= it < To; an interval, when the two overlap.
func (r Range) Holds(from, to time.Time) bool {
	if !r.To.IsZero() && !from.Before(r.To) {
		return false
	}
	if r.From.IsZero() {
		return true
	}
	if from.Equal(to) {
		return !from.Before(r.From)
	}
	return to.After(r.From)
}

func (r *Range) normalize(field string) error {
	var err error
	if !r.From.IsZero() {
		if r.From, err = checkTime(field+".from", r.From); err != nil {
			return err
		}
	}
	if !r.To.IsZero() {
		if r.To, err = checkTime(field+".to", r.To); err != nil {
			return err
		}
	}
	if !r.From.IsZero() && !r.To.IsZero() && r.To.Before(r.From) {
		return Invalid("interval_backwards", field, "%s ends at %s, before it begins at %s", field, stamp(r.To), stamp(r.From))
	}
	return nil
}

// checkTime brings a time to UTC and refuses years outside 1 to 9999, which
// RFC 3339 cannot write.
func checkTime(field string, t time.Time) (time.Time, error) {
	t = t.UTC().Round(0)
	if y := t.Year(); y < 1 || y > 9999 {
		return t, Invalid("time_out_of_range", field, "%s is in the year %d; years 1 to 9999 can be stored", field, y)
	}
	return t, nil
}

func stamp(t time.Time) string { return t.Format(time.RFC3339Nano) }
