package minilm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/embed/wordpiece"
	"github.com/engramdb/engram/vector"
)

// digest is that of minilm.bin: a change of the weights is a change of the model, and is said here and in PROVENANCE.md.
const digest = "0722a62ca5b849b6a136f953fda55daa28772879008a2327390854ca66515ae4"

func opened(tb testing.TB) *bert.Model {
	tb.Helper()
	m, err := Open(bert.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func readJSON(tb testing.TB, file string, v any) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
}

func TestInfo(t *testing.T) {
	m, err := embed.Open(Name)
	if err != nil {
		t.Fatal(err)
	}
	want := embed.Info{Name: "all-MiniLM-L6-v2", Version: "int8-1", Digest: digest, Dimension: 384, MaxTokens: 256}
	if m.Info() != want {
		t.Errorf("%+v, want %+v", m.Info(), want)
	}
}

// TestTokens compares with the reference on texts of chance in all scripts; see bert/testdata/reference.py.
func TestTokens(t *testing.T) {
	f, err := tensors.Read([]byte(weights))
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, err := f.Text("vocabulary")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := wordpiece.New(vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text string
		IDs  []int32
	}
	readJSON(t, "testdata/tokens.json", &cases)
	for _, c := range cases {
		if got := tok.Encode(nil, c.Text, 256); !slices.Equal(got, c.IDs) {
			t.Errorf("%q gave %v, the reference %v", c.Text, got, c.IDs)
		}
	}
	if len(cases) < 500 {
		t.Errorf("%d cases", len(cases))
	}
}

// near reports the mean and the lowest cosine, and fails below the bars.
func near(t *testing.T, got, want [][]float32, mean, low float64) {
	t.Helper()
	sum, least := 0.0, 2.0
	for i := range got {
		c := vector.DotWide(got[i], want[i]) / (vector.Norm(got[i]) * vector.Norm(want[i]))
		sum, least = sum+c, min(least, c)
	}
	sum /= float64(len(got))
	t.Logf("cosine with the reference over %d texts: mean %.5f, lowest %.5f", len(got), sum, least)
	if sum < mean || least < low || math.IsNaN(sum) {
		t.Errorf("the bars are %v and %v", mean, low)
	}
}

func TestVectors(t *testing.T) {
	var cases []struct {
		Text   string
		Vector []float32
	}
	readJSON(t, "testdata/vectors.json", &cases)
	var texts []string
	var want [][]float32
	for _, c := range cases {
		texts, want = append(texts, c.Text), append(want, c.Vector)
	}
	got, err := opened(t).Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	near(t, got, want, .995, .98)
	if q, a, b := got[2], got[1], got[3]; vector.Dot(q, a) < vector.Dot(q, b)+.3 {
		t.Errorf("the telescope is at %v, the invoice at %v", vector.Dot(q, a), vector.Dot(q, b))
	}
}

// TestTurns compares with reference vectors of real turns of conversation.
func TestTurns(t *testing.T) {
	data := os.Getenv("ENGRAM_DATA")
	if data == "" {
		t.Skip("ENGRAM_DATA is not set: no real texts to compare on")
	}
	texts, want := turns(t, data)
	if testing.Short() {
		texts, want = texts[:64], want[:64]
	}
	texts, want = texts[:min(2000, len(texts))], want[:min(2000, len(want))]
	got, err := opened(t).Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	near(t, got, want, .995, .98)
}

// turns reads LoCoMo's turns, in the order of their vectors.
func turns(tb testing.TB, data string) (texts []string, vectors [][]float32) {
	tb.Helper()
	var conversations []struct{ Conversation map[string]json.RawMessage }
	readJSON(tb, filepath.Join(data, "locomo/locomo_dev.json"), &conversations)
	for _, c := range conversations {
		for s := 1; s <= len(c.Conversation); s++ {
			raw, ok := c.Conversation[fmt.Sprintf("session_%d", s)]
			if !ok {
				continue
			}
			var said []struct {
				Speaker, Text string
				Caption       string `json:"blip_caption"`
			}
			if err := json.Unmarshal(raw, &said); err != nil {
				tb.Fatal(err)
			}
			for _, x := range said {
				texts = append(texts, x.Speaker+": "+x.Text+" "+x.Caption)
			}
		}
	}
	vectors = halves(tb, filepath.Join(data, "embeddings/minilm/locomo_dev_turns_minilm_f16.npy"))
	if len(vectors) != len(texts) {
		tb.Fatalf("%d turns, %d vectors", len(texts), len(vectors))
	}
	return texts, vectors
}

// halves reads a .npy of rows of 384 float16, of which none is a NaN, an infinity or denormal to any effect.
func halves(tb testing.TB, file string) (rows [][]float32) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	b = b[10+int(binary.LittleEndian.Uint16(b[8:])):]
	for ; len(b) >= 768; b = b[768:] {
		row := make([]float32, 384)
		for i := range row {
			h := uint32(binary.LittleEndian.Uint16(b[2*i:]))
			row[i] = math.Float32frombits(h&0x8000<<16|h&0x7fff<<13) * 0x1p112
		}
		rows = append(rows, row)
	}
	return rows
}

// conversation is made up: 24 words a turn, as people write to each other.
var conversation = []string{
	"Bea: we finally booked the cabin by the lake for the first week of July, so tell your brother to bring the old canoe along",
	"Tom: I will ask him tonight; last year he patched the hull himself and was proud of it, though it still leaks a little, I think",
	"Bea: the doctor says that my knee is fine now, so we can walk up to the tower again and have lunch there like before",
	"Tom: good news! Nadia wants to come too, but only if there is a place where she can practise the cello for an hour every day",
}

func BenchmarkTurns(b *testing.B) {
	m := opened(b)
	var texts []string
	for range 16 {
		texts = append(texts, conversation...)
	}
	if err := m.Warm(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Embed(context.Background(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(texts))/b.Elapsed().Seconds(), "turns/s")
}

func BenchmarkCue(b *testing.B) {
	m := opened(b)
	if err := m.Warm(); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := m.Embed(context.Background(), []string{"what did they say about the canoe that her brother had repaired himself"}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-p99")
}

func BenchmarkWarm(b *testing.B) {
	for b.Loop() {
		if err := opened(b).Warm(); err != nil {
			b.Fatal(err)
		}
	}
}
