package ann

import (
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// What the exact comparisons of all indexes have in common: the same numbers in
// the same order, so that a vector has one score wherever it lies.

// prepared is the query as it is compared.
func prepared(m memory.Metric, q []float32) []float32 {
	if m != memory.MetricCosine {
		return q
	}
	unit := make([]float32, len(q))
	vector.Normalize(unit, q)
	return unit
}

// compare writes the raw float32 result for each of the rows, which lie one
// after the other.
func compare(m memory.Metric, q, rows, out []float32) {
	if m == memory.MetricL2 {
		vector.SquaredL2s(q, rows, len(q), out)
		return
	}
	vector.Dots(q, rows, len(q), out)
}

// wide is the raw result in float64, for when float32 overflows.
func wide(m memory.Metric, q, row []float32) float64 {
	if m == memory.MetricL2 {
		return vector.SquaredL2Wide(q, row)
	}
	return vector.DotWide(q, row)
}

// signed makes a score of a raw result.
func signed(m memory.Metric, raw float64) float64 {
	switch m {
	case memory.MetricL2:
		return -raw
	case memory.MetricCosine:
		return max(-1, min(1, raw)) // rounding may leave 1.0000001
	}
	return raw
}
