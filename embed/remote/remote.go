// Package remote asks servers for vectors: OpenAI's protocol, which most speak, Ollama's, and Cohere's.
//
// # The problem
//
// A server elsewhere is slow, down, out of quota, behind a proxy that answers in HTML, or has been given another model
// under the same name. None of that may become a wrong vector, a lost memory or a storm of calls.
//
// # The solution
//
// One [Client] for all protocols, which differ in a path, a request and a reply. A call goes through these stages:
//
//   - batch: texts are sent so many and so many bytes at a time.
//   - breaker: after a row of failures nothing is sent for a while, and callers are told so at once ([Unavailable]).
//     Then one call is let through; it opens the way again or closes it for longer.
//   - pace: calls a second are limited, and a server that says Retry-After is left alone for that long.
//   - send, with a timeout for each try, and again after a pause that doubles, with chance in it, when trying again can
//     help: no connection, 408, 425, 429, 5xx.
//   - check: the right number of vectors, each of the right dimension, finite and not zero; brought to length 1.
//
// Whatever goes wrong is an [Error] of a [Kind] that says what can be done about it. A key is read from a file or an
// environment variable at each call, so that it can be changed while running; it is never part of an error, and a
// redirect is not followed, so that it goes to the address that was given and no other.
//
// Left out: streaming and compressed vectors (base64), because a batch of 64 vectors is 300 KB of JSON and the wait is
// the model's; a cache, because a memory is embedded once.
package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/engramdb/engram/embed"
)

// Protocol is how a server is spoken to.
type Protocol string

// The protocols. Addresses are those up to and without the path that is named.
const (
	OpenAI Protocol = "openai" // POST /embeddings; the address ends in /v1
	Ollama Protocol = "ollama" // POST /api/embed
	Cohere Protocol = "cohere" // POST /embed; the address ends in /v2
)

// Options say which model of which server is asked, and how. Address, Model and Dimension have no defaults.
type Options struct {
	Protocol Protocol // default OpenAI
	// Address is the server's URL, such as https://api.openai.com/v1. http is for servers on this machine or network.
	Address string
	Model   string // as the server calls it
	// Dimension is the length that vectors must have. It is checked in every answer.
	Dimension int
	// MaxTokens is what the server's model reads of a text, if that is known. It is passed on in Info, and not checked.
	MaxTokens int

	// TextPrefix and CuePrefix are put before each text and each cue, for models that were trained so.
	TextPrefix, CuePrefix string

	// KeyFile and KeyVariable name a file or an environment variable that holds the key, read at each call. With
	// neither, no key is sent.
	KeyFile, KeyVariable string

	BatchTexts int           // most texts in a call; default 64
	BatchBytes int           // most bytes of text in a call, unless one text has more; default 256 KiB
	Timeout    time.Duration // for each try; default 30 s
	Tries      int           // of each call; default 4
	Pause      time.Duration // before the second try; doubles, up to 30 s; default 250 ms
	PerSecond  float64       // most calls a second; default 20
	// Failures in a row close the way for Rest; default 5 and 15 s. The rest doubles up to 5 minutes.
	Failures int
	Rest     time.Duration

	// Transport carries the calls; default a pool of its own connections. Tests pass one in.
	Transport http.RoundTripper
	// Now and Sleep are the clock; default the system's. Sleep returns ctx's error if it ends first.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// withDefaults fills the zeros and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	u, err := url.Parse(o.Address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return o, errors.New("address is not an http or https URL without a query")
	case u.User != nil:
		return o, errors.New("address holds a password: put the key in a file or an environment variable")
	case o.Model == "":
		return o, errors.New("no model is named")
	case o.Dimension < 1 || o.Dimension > 1<<16:
		return o, fmt.Errorf("dimension %d", o.Dimension)
	case o.KeyFile != "" && o.KeyVariable != "":
		return o, errors.New("a key file and a key variable are both named")
	}
	o.Address = strings.TrimSuffix(o.Address, "/")
	o.Protocol = or(o.Protocol, OpenAI)
	if protocols[o.Protocol] == nil {
		return o, fmt.Errorf("protocol is %.32q; it can be %s", o.Protocol, strings.Join(protocolWords, ", "))
	}
	o.BatchTexts, o.BatchBytes, o.Tries, o.Failures = or(o.BatchTexts, 64), or(o.BatchBytes, 256<<10), or(o.Tries, 4), or(o.Failures, 5)
	o.Timeout, o.Pause, o.Rest = or(o.Timeout, 30*time.Second), or(o.Pause, 250*time.Millisecond), or(o.Rest, 15*time.Second)
	o.PerSecond = or(o.PerSecond, 20)
	if o.BatchTexts < 0 || o.BatchBytes < 0 || o.Tries < 0 || o.Failures < 0 || o.Timeout < 0 || o.Pause < 0 || o.Rest < 0 || !(o.PerSecond > 0) {
		return o, errors.New("a bound is below zero")
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Client is a model on a server. It is safe for concurrent use, and starts no goroutine of its own.
type Client struct {
	o       Options
	speak   *protocol
	http    *http.Client
	breaker *breaker
	pace    *pace
}

var (
	_ embed.Model    = (*Client)(nil)
	_ embed.CueModel = (*Client)(nil)
)

// Open makes a client. It does not connect: whether the server answers, the first Embed tells.
func Open(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("remote model: %w", err)
	}
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		o:       o,
		speak:   protocols[o.Protocol],
		http:    &http.Client{Transport: o.Transport, CheckRedirect: follow},
		breaker: &breaker{most: o.Failures, rest: o.Rest},
		pace:    &pace{every: time.Duration(float64(time.Second) / o.PerSecond)},
	}, nil
}

// Info is the provenance of the vectors: the digest covers protocol, address, model, dimension and prefixes, not the
// weights, which the server may change without our knowing.
func (c *Client) Info() embed.Info {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q %q", c.o.Protocol, c.o.Address, c.o.Model, c.o.Dimension, c.o.TextPrefix, c.o.CuePrefix))
	return embed.Info{Name: c.o.Model, Version: string(c.o.Protocol), Digest: hex.EncodeToString(sum[:]), Dimension: c.o.Dimension, MaxTokens: c.o.MaxTokens}
}

// RestingUntil is when the server is asked again after it failed several times in a row; zero while it is asked, and in
// the past when the next call is the one that tries it.
func (c *Client) RestingUntil() time.Time { return c.breaker.until() }

// Embed returns a vector of length 1 for each text, or an error for all: an *Error if the server does not do what was
// asked. A call may take Tries times Timeout and the pauses between for each batch; ctx ends it sooner.
func (c *Client) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	return c.embed(ctx, purpose{prefix: c.o.TextPrefix}, texts)
}

// EmbedCues is Embed for what is asked: after CuePrefix, and told apart where the protocol does so.
func (c *Client) EmbedCues(ctx context.Context, cues []string) ([][]float32, error) {
	return c.embed(ctx, purpose{prefix: c.o.CuePrefix, cue: true}, cues)
}

// purpose is what vectors are for.
type purpose struct {
	prefix string
	cue    bool
}

func (c *Client) embed(ctx context.Context, why purpose, texts []string) ([][]float32, error) {
	for i, t := range texts {
		if strings.IndexFunc(t, func(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsControl(r) }) < 0 {
			return nil, &embed.TextError{Index: i, Err: embed.ErrEmpty}
		}
	}
	vectors := make([][]float32, 0, len(texts))
	for len(texts) > 0 {
		n := c.batch(texts)
		got, err := c.call(ctx, why, texts[:n])
		if err != nil {
			return nil, err
		}
		vectors, texts = append(vectors, got...), texts[n:]
	}
	return vectors, nil
}

// batch says how many of the texts go into the next call: at least one.
func (c *Client) batch(texts []string) int {
	n, bytes := 0, 0
	for n < len(texts) && n < c.o.BatchTexts && (n == 0 || bytes+len(texts[n]) <= c.o.BatchBytes) {
		bytes += len(texts[n])
		n++
	}
	return n
}

// call asks for one batch until it is answered, refused, or tried often enough.
func (c *Client) call(ctx context.Context, why purpose, texts []string) ([][]float32, error) {
	pause := c.o.Pause
	for try := 1; ; try++ {
		got, err := c.try(ctx, why, texts)
		var e *Error
		if err == nil || !errors.As(err, &e) || !e.again() || try >= c.o.Tries {
			return got, err
		}
		wait := max(e.RetryAfter, jittered(pause))
		if wait > longestWait {
			return nil, err // the caller, who has a queue, waits better than a call that is held open
		}
		if err := c.o.Sleep(ctx, wait); err != nil {
			return nil, err
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// longestWait is the longest that a call sleeps between two tries.
const longestWait = time.Minute

// try asks once, if the breaker and the pace allow it.
func (c *Client) try(ctx context.Context, why purpose, texts []string) ([][]float32, error) {
	if left := c.breaker.closedFor(c.o.Now()); left > 0 {
		return nil, c.errorf(Unavailable, left, "not asked: it failed several times in a row")
	}
	if err := c.o.Sleep(ctx, c.pace.take(c.o.Now())); err != nil {
		c.breaker.unasked()
		return nil, err
	}
	got, err := c.send(ctx, why, texts)
	var e *Error
	switch {
	case err == nil:
		c.breaker.worked()
	case errors.As(err, &e) && e.Kind != Refused:
		c.breaker.failed(c.o.Now())
		c.pace.hold(c.o.Now(), e.RetryAfter)
	default: // refused, or ctx ended: says nothing about the server's health
		c.breaker.unasked()
	}
	return got, err
}

// key reads the key, if there is one.
func (c *Client) key() (string, error) {
	switch {
	case c.o.KeyVariable != "":
		if key := strings.TrimSpace(os.Getenv(c.o.KeyVariable)); key != "" {
			return key, nil
		}
		return "", c.errorf(Refused, 0, "the environment variable %s, which should hold its key, is empty", c.o.KeyVariable)
	case c.o.KeyFile != "":
		b, err := os.ReadFile(c.o.KeyFile)
		if err != nil {
			return "", c.errorf(Refused, 0, "its key: %v", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", nil
}

// checked brings the vectors of an answer to length 1, or says what is wrong with them.
func (c *Client) checked(got [][]float64, want int) ([][]float32, error) {
	if len(got) != want {
		return nil, c.errorf(BadAnswer, 0, "%d vectors for %d texts", len(got), want)
	}
	vectors := make([][]float32, want)
	for i, v := range got {
		if len(v) != c.o.Dimension {
			return nil, c.errorf(BadAnswer, 0, "vector %d has dimension %d, not %d", i, len(v), c.o.Dimension)
		}
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		norm := math.Sqrt(sum)
		if !(norm > 0) || math.IsInf(norm, 1) {
			return nil, c.errorf(BadAnswer, 0, "vector %d has length %v", i, norm)
		}
		vectors[i] = make([]float32, len(v))
		for j, x := range v {
			vectors[i][j] = float32(x / norm)
		}
	}
	return vectors, nil
}
