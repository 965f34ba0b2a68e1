package quality

import "testing"

func TestPaired(t *testing.T) {
	a, b := NewReport(), NewReport()
	for i := range 200 {
		hard := float64(i % 2) // the same for both
		a.Add("m", hard)
		b.Add("m", hard/2)
		a.Add("alone", 1)
	}
	d, err := Paired(a, b, "m")
	if err != nil || d.Mean != 25 || !(d.Low > 20 && d.Low < 25 && d.High > 25 && d.High < 30) || d.N != 200 {
		t.Errorf("%+v %v", d, err)
	}
	if same, err := Paired(a, a, "m"); err != nil || same.Low != 0 || same.High != 0 {
		t.Errorf("with itself: %+v %v", same, err)
	}
	for _, m := range []string{"alone", "none"} {
		if _, err := Paired(a, b, m); err == nil {
			t.Errorf("%s: pairs of nothing", m)
		}
	}
	if m := a.Metric("alone"); m.Mean != 100 || m.N != 200 {
		t.Errorf("%+v", m)
	}
	if m := a.Metric("none"); m.N != 0 {
		t.Errorf("%+v", m)
	}
}
