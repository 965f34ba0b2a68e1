package load

import (
	"sort"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest time that is told apart; longer ones count as it.
const maxLatency = 10 * time.Minute

// Latency is the distribution of times, to three digits at every size.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency makes an empty distribution.
func NewLatency() *Latency {
	return &Latency{hdrhistogram.New(1, int64(maxLatency), 3)}
}

// Add counts a time. Not for several goroutines at once.
func (l *Latency) Add(d time.Duration) {
	// Within its bounds RecordValue has no error.
	_ = l.h.RecordValue(int64(min(max(d, 1), maxLatency)))
}

// Merge adds what another distribution counted.
func (l *Latency) Merge(from *Latency) { l.h.Merge(from.h) }

// Count of the times that were added.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// At is the time that a share of all (0 to 1) did not exceed; 0 when empty.
func (l *Latency) At(share float64) time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return time.Duration(l.h.ValueAtQuantile(100 * share))
}

// Max is the longest.
func (l *Latency) Max() time.Duration { return time.Duration(l.h.Max()) }

// Mean of all.
func (l *Latency) Mean() time.Duration { return time.Duration(l.h.Mean()) }

// Median of a few values; 0 of none. The values keep their order.
func Median[T ~int64 | ~float64](xs []T) T {
	if len(xs) == 0 {
		return 0
	}
	s := append([]T(nil), xs...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s[len(s)/2]
}
