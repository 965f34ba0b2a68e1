package nearest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/vector"
)

// QueryCount is how many vectors of a set are kept apart to be asked for.
const QueryCount = 500

// Set is vectors to search in and vectors to search for. Both lie in files, one
// row after the other, where rivals read them, too.
type Set struct {
	Name    string // short: it is part of file names
	Says    string
	Metric  memory.Metric
	Dim     int
	N       int
	Base    []float32
	Queries []float32

	BaseFile, QueryFile string

	Truth    [][]Near // of each query, the ten nearest
	Likeness Likeness
}

// Likeness says how a set's vectors lie: the mean cosine of a query with its
// nearest, its tenth nearest and any vector.
type Likeness struct{ Nearest, Tenth, Random float64 }

// row is the i-th vector to search in.
func (s *Set) row(i int) []float32 { return s.Base[i*s.Dim : (i+1)*s.Dim] }

func (s *Set) query(i int) []float32 { return s.Queries[i*s.Dim : (i+1)*s.Dim] }

func (s *Set) queries() int { return len(s.Queries) / s.Dim }

// settle maps the files that a set's maker has written, and finds the truth.
func (s *Set) settle() (err error) {
	if s.Base, err = mapFloats(s.BaseFile); err != nil {
		return err
	}
	if s.Queries, err = mapFloats(s.QueryFile); err != nil {
		return err
	}
	s.N = len(s.Base) / s.Dim
	if s.N < 1000 || s.queries() == 0 {
		return fmt.Errorf("set %s has %d vectors and %d queries, too few", s.Name, s.N, s.queries())
	}
	s.Truth = s.exactAll(s.Queries, nil)
	s.Likeness = s.likeness()
	return nil
}

func (s *Set) likeness() (l Likeness) {
	rng := rand.New(rand.NewPCG(1, 1))
	n := float64(s.queries())
	for i, near := range s.Truth {
		q := s.query(i)
		l.Nearest += cosine(q, s.row(int(near[0].ID))) / n
		l.Tenth += cosine(q, s.row(int(near[len(near)-1].ID))) / n
		l.Random += cosine(q, s.row(rng.IntN(s.N))) / n
	}
	return l
}

func cosine(a, b []float32) float64 {
	return float64(vector.Dot(a, b)) / math.Sqrt(float64(vector.Dot(a, a))*float64(vector.Dot(b, b)))
}

// rows writes vectors into a file.
type rows struct {
	file *os.File
	out  *bufio.Writer
	unit bool
	buf  []byte
	one  []float32
}

func newRows(name string, unit bool) (*rows, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &rows{file: f, out: bufio.NewWriterSize(f, 1<<20), unit: unit}, nil
}

func (r *rows) add(v []float32) error {
	if r.unit {
		r.one = append(r.one[:0], v...)
		vector.Normalize(r.one, v)
		v = r.one
	}
	var err error
	if r.buf, err = binary.Append(r.buf[:0], binary.LittleEndian, v); err != nil {
		return err
	}
	_, err = r.out.Write(r.buf)
	return err
}

func (r *rows) close() error { return errors.Join(r.out.Flush(), r.file.Close()) }

// write makes the two files of a set from n rows in an order that the seed
// draws: the last QueryCount of them are asked for.
func (s *Set) write(dir string, seed uint64, n int, row func(i int) []float32) (err error) {
	if n <= QueryCount {
		return fmt.Errorf("set %s has %d vectors, too few", s.Name, n)
	}
	s.BaseFile, s.QueryFile = filepath.Join(dir, s.Name+".f32"), filepath.Join(dir, s.Name+".queries.f32")
	base, err := newRows(s.BaseFile, s.Metric == memory.MetricCosine)
	if err != nil {
		return err
	}
	asked, err := newRows(s.QueryFile, s.Metric == memory.MetricCosine)
	if err != nil {
		return errors.Join(err, base.close())
	}
	order := rand.New(rand.NewPCG(seed, 11)).Perm(n)
	for place, i := range order {
		to := base
		if place >= n-QueryCount {
			to = asked
		}
		if err := to.add(row(i)); err != nil {
			return errors.Join(err, base.close(), asked.close())
		}
	}
	if err := errors.Join(base.close(), asked.close()); err != nil {
		return err
	}
	return s.settle()
}

// mapFloats maps a file of little-endian float32, as this machine has them.
func mapFloats(name string) ([]float32, error) {
	b, err := mapFile(name)
	if err != nil || len(b) < 4 {
		return nil, err
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4), nil
}
