package tensors

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
)

// Safe is a safetensors file that was read. It shares the bytes.
type Safe struct {
	data   []byte // behind the header
	arrays map[string]safeArray
}

type safeArray struct {
	Type    string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// ReadSafe reads the header of a safetensors file: a length of eight bytes, JSON, numbers.
func ReadSafe(data []byte) (*Safe, error) {
	if len(data) < 8 {
		return nil, damaged("%d bytes are no safetensors", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) || n > 64<<20 {
		return nil, damaged("a safetensors header of %d bytes in a file of %d", n, len(data))
	}
	var lines map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &lines); err != nil {
		return nil, damaged("safetensors header: %v", err)
	}
	s := &Safe{data: data[8+n:], arrays: map[string]safeArray{}}
	for name, line := range lines {
		if name == "__metadata__" {
			continue
		}
		var a safeArray
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, damaged("safetensors array %q: %v", name, err)
		}
		if a.Offsets[0] < 0 || a.Offsets[1] < a.Offsets[0] || a.Offsets[1] > len(s.data) {
			return nil, damaged("safetensors array %q lies at %v of %d", name, a.Offsets, len(s.data))
		}
		s.arrays[name] = a
	}
	return s, nil
}

// Has says whether there is an array of that name.
func (s *Safe) Has(name string) bool { _, ok := s.arrays[name]; return ok }

// Shape is the shape of an array, nil if there is none.
func (s *Safe) Shape(name string) []int { return s.arrays[name].Shape }

// Float32 returns a copy of an array of that name and shape as float32, of which F32, F16 and BF16 can be read.
func (s *Safe) Float32(name string, shape ...int) ([]float32, error) {
	a, ok := s.arrays[name]
	if !ok || !slices.Equal(a.Shape, shape) {
		return nil, damaged("no array %q of shape %v in the safetensors, but %v", name, shape, a.Shape)
	}
	count := 1
	for _, n := range shape {
		count *= n
	}
	b := s.data[a.Offsets[0]:a.Offsets[1]]
	switch a.Type {
	case "F32":
		if len(b) == 4*count {
			return floats(name, b)
		}
	case "F16", "BF16":
		if len(b) == 2*count {
			return halves(name, b, a.Type == "BF16")
		}
	}
	return nil, damaged("array %q is %d bytes of %s for %d numbers", name, len(b), a.Type, count)
}

func halves(name string, b []byte, brain bool) ([]float32, error) {
	out := make([]float32, len(b)/2)
	for i := range out {
		h := binary.LittleEndian.Uint16(b[2*i:])
		if out[i] = half(h); brain {
			out[i] = math.Float32frombits(uint32(h) << 16)
		}
		if x := out[i]; x-x != 0 {
			return nil, damaged("number %d of array %q is %v", i, name, x)
		}
	}
	return out, nil
}

// half is the value of an IEEE 754 number of 16 bits: its exponent and fraction read as a float32's and scaled by the
// difference of the biases, which is exact also for the smallest.
func half(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	rest := uint32(h&0x7fff) << 13
	if h&0x7c00 == 0x7c00 {
		return math.Float32frombits(sign | 0x7f800000 | rest&0x7fffff)
	}
	x := math.Float32frombits(rest) * 0x1p112
	return math.Float32frombits(sign | math.Float32bits(x))
}
