package server

import (
	"bytes"
	"net/http"
	"testing"
)

// A desk is a ResponseWriter that keeps each write, and counts flushes.
type desk struct {
	h       http.Header
	status  int
	writes  [][]byte
	flushes int
}

func (d *desk) Header() http.Header    { return d.h }
func (d *desk) WriteHeader(status int) { d.status = status }
func (d *desk) Flush()                 { d.flushes++ }

func (d *desk) Write(b []byte) (int, error) {
	d.writes = append(d.writes, bytes.Clone(b))
	return len(b), nil
}

// TestHeldAnswers: what is held is passed on as one, what is too much for that in the
// pieces that come, and all of it in its order.
func TestHeldAnswers(t *testing.T) {
	large := bytes.Repeat([]byte{'x'}, heldMost)
	for _, c := range []struct {
		name    string
		hold    bool
		pieces  []string
		writes  []int // how many pieces each write has in it
		flushes int
	}{
		{"as it comes", false, []string{"head", "body"}, []int{1, 1}, 2},
		{"held", true, []string{"head", "body"}, []int{2}, 0},
		{"all that fits", true, []string{"", string(large)}, []int{2}, 0},
		{"too much", true, []string{"head", string(large), "tail"}, []int{1, 1, 1}, 2},
		{"nothing", true, nil, nil, 0},
	} {
		d := &desk{h: http.Header{}}
		r := &recorder{ResponseWriter: d, call: &Call{Door: doorGRPC}}
		if c.hold {
			r.hold()
		}
		var want [][]byte
		from := 0
		for _, n := range c.writes {
			var one []byte
			for _, p := range c.pieces[from : from+n] {
				one = append(one, p...)
			}
			want = append(want, one)
			from += n
		}
		for _, p := range c.pieces {
			if n, err := r.Write([]byte(p)); err != nil || n != len(p) {
				t.Fatalf("%s: wrote %d of %d: %v", c.name, n, len(p), err)
			}
			r.Flush()
		}
		r.end()
		if len(d.writes) != len(want) || d.flushes != c.flushes || d.status != http.StatusOK {
			t.Errorf("%s: %d writes, %d flushes, status %d; want %d, %d", c.name, len(d.writes), d.flushes, d.status, len(want), c.flushes)
			continue
		}
		var sum int64
		for i := range want {
			sum += int64(len(want[i]))
			if !bytes.Equal(d.writes[i], want[i]) {
				t.Errorf("%s: write %d is %d bytes, want %d", c.name, i, len(d.writes[i]), len(want[i]))
			}
		}
		if r.bytes != sum {
			t.Errorf("%s: %d bytes were counted of %d", c.name, r.bytes, sum)
		}
	}
}
