package main

import (
	"context"
	"os/exec"
	"slices"
	"testing"
)

func TestOfWords(t *testing.T) {
	got := ofWords([]string{"one", "one two", " one  two three ", "one two three four"}, 2, 3)
	if !slices.Equal(got, []string{"one two", " one  two three "}) {
		t.Errorf("%q", got)
	}
}

// TestOther talks to a program as to the one that embeds; one that ends is an error.
func TestOther(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	o, err := startOther(context.Background(), []string{"sh", "-c", `read l; echo '{"seconds":0.5,"runtime":"sh","vectors":[[1,2]]}'; read l`})
	if err != nil {
		t.Fatal(err)
	}
	defer o.stop()
	a, err := o.ask([]string{"x"}, true)
	if err != nil || a.Seconds != 0.5 || o.name != "sh" || len(a.Vectors) != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := o.ask([]string{"x"}, false); err == nil {
		t.Error("a program that has ended gave an answer")
	}
	if _, err := startOther(context.Background(), []string{"/no/such/program"}); err == nil {
		t.Error("a program that is not there started")
	}
}
