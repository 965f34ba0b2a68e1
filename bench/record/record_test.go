package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBars(t *testing.T) {
	r := New("made-up", Machine{CPU: "none", Cores: 2}, map[string]any{"seed": 1})
	r.Millis("quick", 2*time.Millisecond, 10, AtMost(3))
	r.Millis("slow", 4*time.Millisecond, 10, AtMost(3).Because("1.5 x 2 ms"))
	r.Add(Figure{Name: "much", Value: 12000, Unit: "/s"}, AtLeast(10000))
	r.Add(Figure{Name: "free", Value: 0.5, Unit: "x"}, nil)
	if got := r.Missed(); len(got) != 1 || got[0] != "slow" {
		t.Errorf("missed %v", got)
	}
	table := r.String()
	for _, want := range []string{"2 cores", "seed: 1", "<= 3.00 (1.5 x 2 ms): NOT MET", ">= 10000: met", "n=10"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	m, err := ThisMachine(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.SyncP50Millis <= 0 || m.Cores == 0 || m.Go == "" {
		t.Errorf("the machine is %+v", m)
	}
	r := New("made-up", m, nil)
	r.Add(Figure{Name: "x", Value: 1}, AtLeast(1))
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "made-up.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil || back.Machine != m || len(back.Figures) != 1 || !*back.Figures[0].Met {
		t.Errorf("read back %+v, %v", back, err)
	}
	all, err := FolderBytes(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if js, err := FolderBytes(dir, ".json"); err != nil || js != int64(len(b)) || all <= js {
		t.Errorf("the folder has %d bytes, %d of them JSON, %v", all, js, err)
	}
}
