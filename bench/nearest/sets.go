package nearest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"

	"github.com/engramdb/engram/memory"
)

// MiniLM makes the set of real text: paragraphs of Wikipedia as all-MiniLM-L6-v2
// sees them, from the data folder.
func MiniLM(data, dir string, seed uint64) (*Set, error) {
	s := &Set{Name: "minilm", Says: "paragraphs of Wikipedia by all-MiniLM-L6-v2", Metric: memory.MetricCosine}
	b, err := os.ReadFile(filepath.Join(data, "embeddings/minilm/wiki20k_minilm_f16.npy"))
	if err != nil {
		return nil, err
	}
	halves, n, dim, err := readHalves(b)
	if err != nil {
		return nil, err
	}
	s.Dim = dim
	v := make([]float32, dim)
	return s, s.write(dir, seed, n, func(i int) []float32 {
		for j := range v {
			v[j] = half(binary.LittleEndian.Uint16(halves[2*(i*dim+j):]))
		}
		return v
	})
}

// Images makes the set of MNIST's pictures, as they are, from the data folder.
func Images(data, dir string, seed uint64) (*Set, error) {
	s := &Set{Name: "mnist", Says: "MNIST, pixels", Metric: memory.MetricL2}
	f, err := os.Open(filepath.Join(data, "embeddings/mnist10k/mnist10k-images-idx3-ubyte.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var head struct{ Magic, N, Rows, Columns uint32 }
	if err := binary.Read(z, binary.BigEndian, &head); err != nil {
		return nil, err
	}
	if head.Magic != 2051 || head.N > 1<<20 || head.Rows*head.Columns > 1<<16 {
		return nil, fmt.Errorf("these are no MNIST pictures: %+v", head)
	}
	s.Dim = int(head.Rows * head.Columns)
	pixels := make([]byte, int(head.N)*s.Dim)
	if _, err := io.ReadFull(z, pixels); err != nil {
		return nil, err
	}
	v := make([]float32, s.Dim)
	return s, s.write(dir, seed, int(head.N), func(i int) []float32 {
		for j, p := range pixels[i*s.Dim : (i+1)*s.Dim] {
			v[j] = float32(p)
		}
		return v
	})
}

// Clustered makes up n vectors that lie about as near to each other as those of
// real text do: topics, in them groups of some hundred, in them handfuls, and
// around all noise. Plain clusters, all of whose members are equally near, flatter
// indexes that are made of clusters.
func Clustered(n, dim int, dir string, seed uint64) (*Set, error) {
	s := &Set{Name: fmt.Sprintf("clustered-%d", n), Says: "made up, in clusters of clusters", Metric: memory.MetricCosine, Dim: dim}
	n += QueryCount
	rng := rand.New(rand.NewPCG(seed, 12))
	topics := directions(rng, 200, dim)
	groups := directions(rng, max(50, n/100), dim)
	handfuls := directions(rng, max(200, n/5), dim)
	v := make([]float32, dim)
	return s, s.write(dir, seed, n, func(i int) []float32 {
		// A handful belongs to one group, a group to one topic; few are large, most small.
		handful := int(float64(len(handfuls)) * math.Pow(rng.Float64(), 1.3))
		group := handful * 7919 % len(groups)
		topic := group * 31 % len(topics)
		noise := 0.45 + 0.25*rng.Float64()
		each := noise / math.Sqrt(float64(dim))
		for j := range v {
			v[j] = 0.5*topics[topic][j] + 0.5*groups[group][j] + 0.45*handfuls[handful][j] + float32(each*rng.NormFloat64())
		}
		return v
	})
}

// directions draws vectors of about length one.
func directions(rng *rand.Rand, n, dim int) [][]float32 {
	all := make([][]float32, n)
	each := 1 / math.Sqrt(float64(dim))
	for i := range all {
		all[i] = make([]float32, dim)
		for j := range all[i] {
			all[i][j] = float32(each * rng.NormFloat64())
		}
	}
	return all
}

var npyShape = regexp.MustCompile(`'descr': '<f2', 'fortran_order': False, 'shape': \((\d+), (\d+)\)`)

// readHalves reads a .npy file of float16 rows.
func readHalves(b []byte) (numbers []byte, n, dim int, err error) {
	if len(b) < 10 || !bytes.HasPrefix(b, []byte("\x93NUMPY\x01")) {
		return nil, 0, 0, errors.New("this is no .npy file of version 1")
	}
	end := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	if end > len(b) {
		return nil, 0, 0, errors.New("the .npy file is cut off")
	}
	shape := npyShape.FindSubmatch(b[10:end])
	if shape == nil {
		return nil, 0, 0, fmt.Errorf("the .npy file does not hold rows of float16: %q", b[10:end])
	}
	if _, err := fmt.Sscan(string(shape[1])+" "+string(shape[2]), &n, &dim); err != nil {
		return nil, 0, 0, err
	}
	if dim == 0 || len(b)-end != 2*n*dim {
		return nil, 0, 0, errors.New("the .npy file has another length than its shape says")
	}
	return b[end:], n, dim, nil
}

// half widens a float16.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero and what is smaller than 2^-14
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}
