package nearest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCodesRankTheNearest(t *testing.T) {
	s := made(t)
	coded, err := Codes(context.Background(), s, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range coded {
		if !slices.IsSorted(c.Recall) || c.Recall[len(c.Recall)-1] < 0.99 || c.Rate <= 0 || c.Within < 10*0.9 || c.RowBytes <= 0 {
			t.Errorf("got %+v", c)
		}
	}
	if a, b, c := coded[0], coded[1], coded[2]; a.Recall[0] < b.Recall[0] || b.Recall[0] < c.Recall[0] || a.Within > c.Within {
		t.Errorf("fewer bits are not worse: %+v", coded)
	}
	page := (&Report{Sets: []SetReport{{Set: s, Coded: coded}}}).Markdown()
	if !strings.Contains(page, "| 4 bits (RaBitQ, extended) |") {
		t.Errorf("the page lacks the codes:\n%s", page)
	}
}

func TestKernelsAreTimed(t *testing.T) {
	var r KernelReport
	for _, k := range allKernels {
		one, err := k.compare(nil, 64, inCache, 3, time.Microsecond)
		if err != nil || one.Ours <= 0 || one.Reading <= 0 {
			t.Errorf("%s: %+v, %v", k.name, one, err)
		}
		one.Theirs["simsimd"] = 2 * one.Ours
		if x, by := one.Bound(); x != 0.5 || by != "simsimd" {
			t.Errorf("%s: %g by %q", k.name, x, by)
		}
		r.Kernels = append(r.Kernels, one)
	}
	if page := r.Markdown("a machine", time.Time{}); strings.Count(page, "\n| ") != len(allKernels)+1 {
		t.Errorf("the page:\n%s", page)
	}
}
