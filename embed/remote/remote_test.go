package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/engramdb/engram/embed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// virtual is a clock that moves when someone sleeps.
type virtual struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newVirtual() *virtual { return &virtual{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (v *virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *virtual) Sleep(ctx context.Context, d time.Duration) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
	if d > 0 {
		v.slept = append(v.slept, d)
	}
	return ctx.Err()
}

// serve starts a server and opens a client of it.
func serve(t *testing.T, o Options, answer http.HandlerFunc) (*Client, *virtual) {
	t.Helper()
	s := httptest.NewServer(answer)
	clock := newVirtual()
	o.Address, o.Now, o.Sleep = s.URL, clock.Now, clock.Sleep
	o.Model = or(o.Model, "m")
	o.Dimension = or(o.Dimension, 3)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	o.Transport = transport
	t.Cleanup(func() { transport.CloseIdleConnections(); s.Close() })
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, clock
}

// asked is what requests of all protocols have in common.
type asked struct {
	Model string
	Input []string
	Texts []string
}

func read(t *testing.T, r *http.Request) asked {
	t.Helper()
	var a asked
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Error(err)
	}
	return a
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// vectorOf is what the servers here make of a text: its length in bytes, twice that, and 2.
func vectorOf(text string) []float64 { return []float64{float64(len(text)), float64(2 * len(text)), 2} }

// good answers as OpenAI does, in reverse order.
func good(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var data []any
		in := read(t, r).Input
		for i := len(in) - 1; i >= 0; i-- {
			data = append(data, map[string]any{"index": i, "embedding": vectorOf(in[i])})
		}
		write(w, map[string]any{"data": data})
	}
}

func check(t *testing.T, c *Client, texts ...string) {
	t.Helper()
	got, err := c.Embed(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		want := vectorOf(texts[i])
		norm := math.Sqrt(want[0]*want[0] + want[1]*want[1] + want[2]*want[2])
		for j := range v {
			if math.Abs(float64(v[j])-want[j]/norm) > 1e-6 {
				t.Errorf("text %d: %v, want %v / %v", i, v, want, norm)
			}
		}
	}
	if len(got) != len(texts) {
		t.Errorf("%d vectors for %d texts", len(got), len(texts))
	}
}

func TestProtocols(t *testing.T) {
	for p, answer := range map[Protocol]http.HandlerFunc{
		OpenAI: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/embeddings" {
				t.Errorf("asked at %s", r.URL.Path)
			}
			good(t)(w, r)
		},
		Ollama: func(w http.ResponseWriter, r *http.Request) {
			var vs [][]float64
			for _, s := range read(t, r).Input {
				vs = append(vs, vectorOf(s))
			}
			if r.URL.Path != "/api/embed" {
				t.Errorf("asked at %s", r.URL.Path)
			}
			write(w, map[string]any{"embeddings": vs})
		},
		Cohere: func(w http.ResponseWriter, r *http.Request) {
			var vs [][]float64
			for _, s := range read(t, r).Texts {
				vs = append(vs, vectorOf(s))
			}
			if r.URL.Path != "/embed" {
				t.Errorf("asked at %s", r.URL.Path)
			}
			write(w, map[string]any{"embeddings": map[string]any{"float": vs}})
		},
	} {
		c, _ := serve(t, Options{Protocol: p}, answer)
		check(t, c, "one", "three", "eleven")
	}
}

// TestCues asks after a prefix, and Cohere for a query.
func TestCues(t *testing.T) {
	var got struct {
		Texts []string
		Type  string `json:"input_type"`
	}
	c, _ := serve(t, Options{Protocol: Cohere, TextPrefix: "passage: ", CuePrefix: "query: "}, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		write(w, map[string]any{"embeddings": map[string]any{"float": [][]float64{{1, 2, 3}}}})
	})
	if _, err := embed.Cues(context.Background(), c, []string{"who"}); err != nil || got.Type != "search_query" || got.Texts[0] != "query: who" {
		t.Errorf("asked %+v, %v", got, err)
	}
	if _, err := c.Embed(context.Background(), []string{"he"}); err != nil || got.Type != "search_document" || got.Texts[0] != "passage: he" {
		t.Errorf("asked %+v, %v", got, err)
	}
}

func TestBatches(t *testing.T) {
	var sizes []int
	c, _ := serve(t, Options{BatchTexts: 3, BatchBytes: 10}, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var a asked
		if err := json.Unmarshal(b, &a); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(a.Input))
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		good(t)(w, r)
	})
	check(t, c, "a", "b", "c", "d", "a long text of its own", "seven b", "four")
	if fmt.Sprint(sizes) != "[3 1 1 1 1]" {
		t.Errorf("batches of %v", sizes)
	}
}

// TestBadAnswers are servers that answer with something else.
func TestBadAnswers(t *testing.T) {
	body := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, s)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html>sign in</html>")
		},
		"HTML that says it is JSON": body("<html>sign in</html>"),
		"nothing":                   body(""),
		"another protocol":          body(`{"embeddings":[[1,2,3]]}`),
		"too few":                   body(`{"data":[{"index":0,"embedding":[1,2,3]}]}`),
		"too many":                  body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2,3]},{"index":2,"embedding":[1,2,3]}]}`),
		"one index twice":           body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}`),
		"an index beyond":           body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":7,"embedding":[1,2,3]}]}`),
		"another dimension":         body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2]}]}`),
		"NaN":                       body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,NaN,2]}]}`),
		"null":                      body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":null}]}`),
		"zero":                      body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[0,0,0]}]}`),
		"infinity":                  body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1e308,1e308,1e308]}]}`),
		"beyond float64":            body(`{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1e999,1,1]}]}`),
		"without end":               body(`{"data":[` + strings.Repeat(" ", 1<<20)),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := atomic.Int32{}
			c, _ := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); answer(w, r) })
			_, err := c.Embed(context.Background(), []string{"one", "two"})
			var e *Error
			if !errors.As(err, &e) || e.Kind != BadAnswer || calls.Load() != 1 {
				t.Errorf("%d calls gave %v", calls.Load(), err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 422} {
		calls := atomic.Int32{}
		c, _ := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			http.Error(w, `{"error":"no such model"}`, status)
		})
		_, err := c.Embed(context.Background(), []string{"one"})
		var e *Error
		if !errors.As(err, &e) || e.Kind != Refused || e.Status != status || calls.Load() != 1 || !strings.Contains(err.Error(), "no such model") {
			t.Errorf("%d: %d calls gave %v", status, calls.Load(), err)
		}
	}
}

func TestTriesAgain(t *testing.T) {
	calls := 0
	c, clock := serve(t, Options{Pause: time.Second}, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 4 {
			http.Error(w, "", []int{0, 500, 429, 503}[calls])
			return
		}
		good(t)(w, r)
	})
	check(t, c, "one")
	if calls != 4 {
		t.Errorf("%d calls", calls)
	}
	for i, lowest := range []time.Duration{time.Second / 2, time.Second, 2 * time.Second} {
		if got := clock.slept[i]; got < lowest || got > 2*lowest {
			t.Errorf("pause %d was %v", i, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	calls := 0
	c, clock := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "", http.StatusTooManyRequests)
			return
		}
		good(t)(w, r)
	})
	start := clock.Now()
	check(t, c, "one")
	if waited := clock.Now().Sub(start); waited < 7*time.Second || waited > 8*time.Second {
		t.Errorf("waited %v", waited)
	}
	for s, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "1e300": 0, "soon": 0, "99999": time.Hour,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(s, newVirtual().Now()); got != want {
			t.Errorf("Retry-After %q is %v, want %v", s, got, want)
		}
	}
}

// TestLongRetryAfter gives the time to the caller rather than sleep it.
func TestLongRetryAfter(t *testing.T) {
	c, clock := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		http.Error(w, "", http.StatusServiceUnavailable)
	})
	start := clock.Now()
	_, err := c.Embed(context.Background(), []string{"one"})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unavailable || e.RetryAfter != 30*time.Minute || clock.Now() != start {
		t.Errorf("gave %v after %v", err, clock.Now().Sub(start))
	}
}

func TestDown(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	address := s.URL
	s.Close()
	clock := newVirtual()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	c, err := Open(Options{Address: address, Model: "m", Dimension: 3, Now: clock.Now, Sleep: clock.Sleep, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Embed(context.Background(), []string{"one"})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unavailable || e.Status != 0 {
		t.Errorf("gave %v", err)
	}
}

func TestTimeout(t *testing.T) {
	c, _ := serve(t, Options{Timeout: 20 * time.Millisecond, Tries: 2}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client has gone
		<-r.Context().Done()
	})
	_, err := c.Embed(context.Background(), []string{"one"})
	var e *Error
	if !errors.As(err, &e) || e.Kind != Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gave %v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	c, _ := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		cancel()
		http.Error(w, "", 500)
	})
	if _, err := c.Embed(ctx, []string{"one"}); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%d calls gave %v", calls, err)
	}
}

func TestBreaker(t *testing.T) {
	calls, works := 0, false
	c, clock := serve(t, Options{Tries: 1, Failures: 3, Rest: 10 * time.Second, PerSecond: 1e6}, func(w http.ResponseWriter, r *http.Request) {
		if calls++; works {
			good(t)(w, r)
			return
		}
		http.Error(w, "", 500)
	})
	ask := func() *Error {
		_, err := c.Embed(context.Background(), []string{"one"})
		var e *Error
		errors.As(err, &e)
		return e
	}
	for range 10 {
		ask()
	}
	if calls != 3 {
		t.Errorf("%d calls before it closed", calls)
	}
	if e := ask(); e == nil || e.Kind != Unavailable || e.RetryAfter <= 9*time.Second {
		t.Errorf("closed, it gave %v", e)
	}
	_ = clock.Sleep(context.Background(), 11*time.Second)
	ask()
	ask()
	if calls != 4 {
		t.Errorf("%d calls after one rest: one is let through", calls)
	}
	_ = clock.Sleep(context.Background(), 11*time.Second)
	if ask(); calls != 4 {
		t.Error("the second rest is not longer")
	}
	works = true
	_ = clock.Sleep(context.Background(), 10*time.Second)
	for range 3 {
		if e := ask(); e != nil {
			t.Errorf("after it worked again: %v", e)
		}
	}
}

func TestPace(t *testing.T) {
	c, clock := serve(t, Options{PerSecond: 4, BatchTexts: 1}, good(t))
	start := clock.Now()
	check(t, c, "a", "b", "c", "d", "e")
	if took := clock.Now().Sub(start); took != time.Second {
		t.Errorf("five calls took %v", took)
	}
}

// TestKey reads it at each call, sends it in the header alone, and never says it.
func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	const secret = "sk-very-secret"
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	works := true
	c, _ := serve(t, Options{KeyFile: file}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("sent %q", r.Header.Get("Authorization"))
		}
		if works {
			good(t)(w, r)
			return
		}
		http.Error(w, "the key "+secret+" has expired", http.StatusUnauthorized)
	})
	check(t, c, "one")
	works = false
	_, err := c.Embed(context.Background(), []string{"one"})
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
		t.Errorf("the error says the key: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", c.Info(), c.Info()), secret) {
		t.Error("Info says the key")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := c.Embed(context.Background(), []string{"one"}); !errors.As(err, &e) || e.Kind != Refused {
		t.Errorf("without its key file it gave %v", err)
	}
	t.Setenv("ENGRAM_TEST_KEY", "")
	c, _ = serve(t, Options{KeyVariable: "ENGRAM_TEST_KEY"}, good(t))
	if _, err := c.Embed(context.Background(), []string{"one"}); !errors.As(err, &e) || e.Kind != Refused {
		t.Errorf("without its key variable it gave %v", err)
	}
	t.Setenv("ENGRAM_TEST_KEY", secret)
	check(t, c, "one")
}

func TestEmptyTexts(t *testing.T) {
	c, _ := serve(t, Options{}, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	for _, text := range []string{"", " \n", "\x00\t"} {
		_, err := c.Embed(context.Background(), []string{"one", text})
		var te *embed.TextError
		if !errors.As(err, &te) || te.Index != 1 || !errors.Is(err, embed.ErrEmpty) {
			t.Errorf("%q gave %v", text, err)
		}
	}
	if v, err := c.Embed(context.Background(), nil); err != nil || len(v) != 0 {
		t.Errorf("no texts gave %v, %v", v, err)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no address":         {Model: "m", Dimension: 3},
		"a file":             {Address: "file:///etc/passwd", Model: "m", Dimension: 3},
		"a password":         {Address: "https://me:secret@host/v1", Model: "m", Dimension: 3},
		"a query":            {Address: "https://host/v1?key=secret", Model: "m", Dimension: 3},
		"no model":           {Address: "https://host/v1", Dimension: 3},
		"no dimension":       {Address: "https://host/v1", Model: "m"},
		"another protocol":   {Address: "https://host/v1", Model: "m", Dimension: 3, Protocol: "soap"},
		"two keys":           {Address: "https://host/v1", Model: "m", Dimension: 3, KeyFile: "a", KeyVariable: "b"},
		"a negative timeout": {Address: "https://host/v1", Model: "m", Dimension: 3, Timeout: -1},
	} {
		if _, err := Open(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

func TestInfo(t *testing.T) {
	a, err := Open(Options{Address: "https://host/v1/", Model: "m", Dimension: 3, MaxTokens: 9})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{Address: "https://host/v1", Model: "m", Dimension: 4})
	if err != nil {
		t.Fatal(err)
	}
	if i := a.Info(); i.Name != "m" || i.Version != "openai" || i.Dimension != 3 || i.MaxTokens != 9 || len(i.Digest) != 64 || i.Digest == b.Info().Digest {
		t.Errorf("%+v", i)
	}
}

// TestManyAtOnce runs a server that fails every third call under many callers: each gets its vectors or an *Error.
func TestManyAtOnce(t *testing.T) {
	calls := atomic.Int32{}
	c, _ := serve(t, Options{PerSecond: 1e6}, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%3 == 0 {
			http.Error(w, "", 500)
			return
		}
		good(t)(w, r)
	})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 20 {
				v, err := c.Embed(context.Background(), []string{strings.Repeat("x", n+1)})
				var e *Error
				if err != nil && !errors.As(err, &e) || err == nil && len(v) != 1 {
					t.Errorf("%v, %v", v, err)
				}
			}
		})
	}
	all.Wait()
}
