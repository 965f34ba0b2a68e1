package main

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// TestSpreadGuide runs the lines of docs/guide/spread.md; where the page shows an
// answer, it is that one once the links are made.
func TestSpreadGuide(t *testing.T) {
	dir := t.TempDir()
	p, err := start(dir, os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	answers := 0
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:\n^```text\n(.*?)^```)?").FindAllStringSubmatch(read(t, "../../docs/guide/spread.md"), -1) {
		run := func() string {
			c := exec.Command("sh", "-e", "-c", block[1])
			c.Dir, c.Env = dir, append(os.Environ(), "ENGRAM_SERVER="+p.address)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s%v\n%s", block[1], err, out)
			}
			return string(out)
		}
		got := run()
		if block[2] == "" {
			continue
		}
		answers++
		for end := time.Now().Add(20 * time.Second); got != block[2] && time.Now().Before(end); got = run() {
			<-time.After(10 * time.Millisecond)
		}
		if got != block[2] {
			t.Errorf("%sgives\n%s, the page shows\n%s", block[1], got, block[2])
		}
	}
	if answers < 2 {
		t.Errorf("the page shows %d answers", answers)
	}
}
