package facet

import (
	"cmp"
	"math"
	"time"
)

// instant is a time to the nanosecond for any year; UnixNano holds 1678 to 2262
// only.
type instant struct {
	sec  int64
	nsec uint32
}

func instantOf(t time.Time) instant {
	return instant{sec: t.Unix(), nsec: uint32(t.Nanosecond())}
}

func (i instant) time() time.Time { return time.Unix(i.sec, int64(i.nsec)).UTC() }

func (i instant) compare(o instant) int {
	if i.sec != o.sec {
		return cmp.Compare(i.sec, o.sec)
	}
	return cmp.Compare(i.nsec, o.nsec)
}

// span is a memory.Range: [lo, hi), an open end at the end of time.
type span struct {
	lo, hi instant
}

var (
	beginning = instant{sec: math.MinInt64}
	never     = instant{sec: math.MaxInt64}
)

func spanOf(from, to time.Time) span {
	s := span{lo: beginning, hi: never}
	if !from.IsZero() {
		s.lo = instantOf(from)
	}
	if !to.IsZero() {
		s.hi = instantOf(to)
	}
	return s
}

// holds is memory.Range.Holds.
func (s span) holds(from, to instant) bool {
	if from.compare(s.hi) >= 0 {
		return false
	}
	c := to.compare(s.lo)
	return c > 0 || c == 0 && from == to
}
