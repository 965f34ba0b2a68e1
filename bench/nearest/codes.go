package nearest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/engramdb/engram/vector"
)

// Ranked are the numbers of rows, best by their codes, that are compared once more by
// themselves.
var Ranked = []int{10, 20, 50, 100, 200, 500}

// codedQueries is how many queries codes are judged by.
const codedQueries = 200

// Coded is what codes of one kind do on a set when all of them are scanned.
type Coded struct {
	Name     string
	RowBytes int
	Recall   []float64 // of the ten nearest, by Ranked
	Rate     float64   // rows a second, one thread
	ByInt8   float64   // that by int8's
	// Within is how many rows are as near as the tenth, as far as their codes can tell:
	// those that a scan has to compare more exactly. Deviations is by how many standard
	// deviations of the estimate.
	Within     float64
	Deviations float64
}

// deviations is beyond which one estimate in 740 lies on the wrong side.
const deviations = 3

// coder is codes of one kind of all rows of a set.
type coder interface {
	name() string
	bytes() int
	encode(i int, v []float32)
	aim(q []float32)
	// estimates writes the products with rows from one on.
	estimates(from int, out []float32)
	bound(i int) float32 // a deviation of the estimate of row i
}

// Codes scans the rows of a set by codes of 8, 4 and 1 bit a number of their difference
// from the mean, and says how many of the best have to be compared by themselves.
func Codes(ctx context.Context, s *Set, rounds int, say func(string, ...any)) ([]Coded, error) {
	centre, squares := s.mean(), make([]float32, s.N)
	kinds := []coder{newBytesCoder(s), newFourCoder(s), newBitCoder(s)}
	shifted := make([]float32, s.Dim)
	for i := range s.N {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		subtract(shifted, s.row(i), centre)
		squares[i] = vector.Dot(shifted, shifted)
		for _, k := range kinds {
			k.encode(i, shifted)
		}
	}
	var all []Coded
	for _, k := range kinds {
		say("%s: %s", s.Name, k.name())
		all = append(all, s.judge(k, centre, squares))
	}
	rates := make([][]float64, len(kinds))
	subtract(shifted, s.query(0), centre)
	for range rounds {
		for i, k := range kinds {
			k.aim(shifted)
			rates[i] = append(rates[i], float64(s.N)/bestOf(50*time.Millisecond, func() { s.scanCodes(k, nil) })*1e9)
		}
	}
	for i := range all {
		slices.Sort(rates[i])
		all[i].Rate = rates[i][len(rates[i])/2]
		all[i].ByInt8 = all[i].Rate / all[0].Rate
	}
	return all, ctx.Err()
}

func (s *Set) mean() []float32 {
	sums, mean := make([]float64, s.Dim), make([]float32, s.Dim)
	step := max(1, s.N/10_000)
	for i := 0; i < s.N; i += step {
		for j, x := range s.row(i) {
			sums[j] += float64(x)
		}
	}
	for j := range mean {
		mean[j] = float32(sums[j] / float64((s.N+step-1)/step))
	}
	return mean
}

func subtract(dst, v, centre []float32) {
	for i, x := range v {
		dst[i] = x - centre[i]
	}
}

// scanCodes makes the products of all rows; keys is nil when nobody wants them.
func (s *Set) scanCodes(k coder, keys []float32) {
	var out [256]float32
	for from := 0; from < s.N; from += len(out) {
		to := min(from+len(out), s.N)
		k.estimates(from, out[:to-from])
		if keys != nil {
			copy(keys[from:to], out[:])
		}
	}
}

// judge ranks all rows by their codes for some queries.
func (s *Set) judge(k coder, centre, squares []float32) Coded {
	c := Coded{Name: k.name(), RowBytes: k.bytes(), Recall: make([]float64, len(Ranked)), Deviations: deviations}
	queries := min(codedQueries, s.queries())
	keys, order, shifted := make([]float32, s.N), make([]int32, s.N), make([]float32, s.Dim)
	for q := range queries {
		subtract(shifted, s.query(q), centre)
		k.aim(shifted)
		s.scanCodes(k, keys)
		for i := range keys { // the squared distance but for the query's own part
			keys[i] = squares[i] - 2*keys[i]
			order[i] = int32(i)
		}
		slices.SortFunc(order, func(a, b int32) int {
			switch {
			case keys[a] < keys[b]:
				return -1
			case keys[a] > keys[b]:
				return 1
			}
			return int(a - b)
		})
		tenth := s.truthKey(q, shifted, centre, squares)
		for _, i := range order {
			if keys[i]-2*deviations*k.bound(int(i)) <= tenth {
				c.Within += 1 / float64(queries)
			}
		}
		for j, n := range Ranked {
			c.Recall[j] += s.foundAmong(q, order[:min(n, s.N)]) / float64(queries)
		}
	}
	return c
}

// truthKey is the key of the last of the true nearest.
func (s *Set) truthKey(q int, shifted, centre, squares []float32) float32 {
	near, row := s.Truth[q], make([]float32, s.Dim)
	last := near[len(near)-1].ID
	subtract(row, s.row(int(last)), centre)
	return squares[last] - 2*vector.Dot(row, shifted)
}

// foundAmong is the share of the true nearest of a query that are among rows.
func (s *Set) foundAmong(q int, rows []int32) float64 {
	found := 0
	for _, near := range s.Truth[q] {
		if slices.Contains(rows, int32(near.ID)) {
			found++
		}
	}
	return float64(found) / float64(len(s.Truth[q]))
}

// bytesCoder keeps a byte a number and one scale a row.
type bytesCoder struct {
	dim    int
	codes  []int8
	scales []float32
	query  []int8
	scale  float32
	dots   [256]int32
	room   []float32
}

func newBytesCoder(s *Set) *bytesCoder {
	dim := (s.Dim + 63) / 64 * 64
	return &bytesCoder{dim: dim, codes: make([]int8, dim*s.N), scales: make([]float32, s.N), query: make([]int8, dim), room: make([]float32, dim)}
}

func (c *bytesCoder) name() string { return "8 bits" }
func (c *bytesCoder) bytes() int   { return c.dim + 4 }

func (c *bytesCoder) encode(i int, v []float32) {
	copy(c.room, v)
	c.scales[i] = vector.EncodeInt8(c.codes[i*c.dim:(i+1)*c.dim], c.room)
}

func (c *bytesCoder) aim(q []float32) {
	copy(c.room, q)
	c.scale = vector.EncodeInt8(c.query, c.room)
}

func (c *bytesCoder) estimates(from int, out []float32) {
	vector.DotsInt8(c.query, c.codes[from*c.dim:(from+len(out))*c.dim], c.dim, c.dots[:len(out)])
	for i := range out {
		out[i] = float32(c.dots[i]) * c.scales[from+i] * c.scale
	}
}

// bound is what rounding both sides does to the product, as in package ann.
func (c *bytesCoder) bound(i int) float32 {
	code := c.codes[i*c.dim : (i+1)*c.dim]
	lengths := float32(vector.DotInt8(code, code)) + float32(vector.DotInt8(c.query, c.query))
	return float32(math.Sqrt(float64(lengths)/12)) * c.scales[i] * c.scale
}

// rotated is what codes of few bits share.
type rotated struct {
	rotation *vector.Rotation
	room     []float32
}

func newRotated(s *Set) rotated {
	r := vector.NewRotation(s.Dim, 1)
	return rotated{r, make([]float32, r.Padded())}
}

func (r *rotated) rotate(v []float32) []float32 {
	r.rotation.Rotate(r.room, v)
	return r.room
}

type fourCoder struct {
	rotated
	size    int
	codes   []uint8
	factors []vector.FourFactors
	query   vector.FourQuery
}

func newFourCoder(s *Set) *fourCoder {
	r := newRotated(s)
	size := vector.FourBytes(len(r.room))
	return &fourCoder{rotated: r, size: size, codes: make([]uint8, size*s.N), factors: make([]vector.FourFactors, s.N)}
}

func (c *fourCoder) name() string { return "4 bits (RaBitQ, extended)" }
func (c *fourCoder) bytes() int   { return c.size + 8 }

func (c *fourCoder) encode(i int, v []float32) {
	c.factors[i] = vector.EncodeFour(c.codes[i*c.size:(i+1)*c.size], c.rotate(v))
}

func (c *fourCoder) aim(q []float32) { c.query.Set(c.rotate(q)) }

func (c *fourCoder) estimates(from int, out []float32) {
	c.query.Estimates(c.codes[from*c.size:(from+len(out))*c.size], c.factors[from:from+len(out)], out)
}

func (c *fourCoder) bound(i int) float32 { return c.query.Bound(c.factors[i], 1) }

type bitCoder struct {
	rotated
	words   int
	codes   []uint64
	factors []vector.BitFactors
	query   vector.BitQuery
}

func newBitCoder(s *Set) *bitCoder {
	r := newRotated(s)
	words := len(r.room) / 64
	return &bitCoder{rotated: r, words: words, codes: make([]uint64, words*s.N), factors: make([]vector.BitFactors, s.N)}
}

func (c *bitCoder) name() string { return "1 bit (RaBitQ)" }
func (c *bitCoder) bytes() int   { return 8*c.words + 16 }

func (c *bitCoder) encode(i int, v []float32) {
	c.factors[i] = vector.EncodeBits(c.codes[i*c.words:(i+1)*c.words], c.rotate(v))
}

func (c *bitCoder) aim(q []float32) { c.query.Set(c.rotate(q)) }

func (c *bitCoder) estimates(from int, out []float32) {
	c.query.Estimates(c.codes[from*c.words:(from+len(out))*c.words], c.factors[from:from+len(out)], out)
}

func (c *bitCoder) bound(i int) float32 { return c.query.Bound(c.factors[i], 1) }

func (s *SetReport) codes(b *strings.Builder) {
	b.WriteString("\n| codes, all scanned | bytes a row | rows/s | by 8 bits |")
	for _, n := range Ranked {
		fmt.Fprintf(b, " recall, best %d compared |", n)
	}
	fmt.Fprintf(b, " rows within %d deviations of the tenth |\n|%s\n", deviations, strings.Repeat("---|", 5+len(Ranked)))
	for _, c := range s.Coded {
		fmt.Fprintf(b, "| %s | %d | %.0f M | %.2f |", c.Name, c.RowBytes, c.Rate/1e6, c.ByInt8)
		for _, r := range c.Recall {
			fmt.Fprintf(b, " %.4f |", r)
		}
		fmt.Fprintf(b, " %.0f (%.2f %%) |\n", c.Within, 100*c.Within/float64(s.Set.N))
	}
}
