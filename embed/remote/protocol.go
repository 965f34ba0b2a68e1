package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// protocol is what a protocol adds to HTTP and JSON.
type protocol struct {
	path    string
	request func(o Options, why purpose, texts []string) any
	// reply reads an answer into vectors in the order of the texts.
	reply func(body []byte, want int) ([][]float64, error)
}

// protocolWords are the names of the protocols.
var protocolWords = []string{string(Cohere), string(Ollama), string(OpenAI)}

var protocols = map[Protocol]*protocol{
	OpenAI: {
		path: "/embeddings",
		request: func(o Options, _ purpose, texts []string) any {
			return map[string]any{"model": o.Model, "input": texts, "encoding_format": "float"}
		},
		reply: openAIReply,
	},
	Ollama: {
		path: "/api/embed",
		request: func(o Options, _ purpose, texts []string) any {
			return map[string]any{"model": o.Model, "input": texts, "truncate": true}
		},
		reply: func(body []byte, _ int) ([][]float64, error) {
			var r struct{ Embeddings [][]float64 }
			return r.Embeddings, json.Unmarshal(body, &r)
		},
	},
	Cohere: {
		path: "/embed",
		request: func(o Options, why purpose, texts []string) any {
			kind := "search_document"
			if why.cue {
				kind = "search_query"
			}
			return map[string]any{"model": o.Model, "texts": texts, "input_type": kind, "embedding_types": []string{"float"}}
		},
		reply: func(body []byte, _ int) ([][]float64, error) {
			var r struct{ Embeddings struct{ Float [][]float64 } }
			return r.Embeddings.Float, json.Unmarshal(body, &r)
		},
	},
}

// openAIReply puts vectors at the index that each names: servers may answer out of order.
func openAIReply(body []byte, want int) ([][]float64, error) {
	var r struct {
		Data []struct {
			Index     *int
			Embedding []float64
		}
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	if len(r.Data) != want {
		return make([][]float64, len(r.Data)), nil // the count is refused by the caller
	}
	vectors := make([][]float64, want)
	for i, d := range r.Data {
		at := i
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= want || vectors[at] != nil {
			return nil, fmt.Errorf("index %d of %d, or twice", at, want)
		}
		vectors[at] = d.Embedding
	}
	return vectors, nil
}

func (c *Client) host() string {
	u, err := url.Parse(c.o.Address)
	if err != nil {
		return ""
	}
	return u.Host
}

// send makes one request and reads its answer.
func (c *Client) send(ctx context.Context, why purpose, texts []string) ([][]float32, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if why.prefix != "" {
		texts = slices.Clone(texts)
		for i := range texts {
			texts[i] = why.prefix + texts[i]
		}
	}
	body, err := json.Marshal(c.speak.request(c.o, why, texts))
	if err != nil {
		return nil, c.errorf(Refused, 0, "request: %v", err)
	}
	within, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(within, http.MethodPost, c.o.Address+c.speak.path, bytes.NewReader(body))
	if err != nil {
		return nil, c.errorf(Refused, 0, "request: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	status, head, answer, err := c.exchange(req, len(texts))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, c.statusError(status, head, answer, key, texts)
	}
	return c.answer(head, answer, len(texts))
}

// exchange sends a request and reads the whole answer, up to what so many vectors can take in JSON.
func (c *Client) exchange(req *http.Request, texts int) (status int, head http.Header, body []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, c.transportError(err)
	}
	defer resp.Body.Close()
	most := int64(64<<10 + texts*c.o.Dimension*32)
	body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return 0, nil, nil, c.transportError(err)
	}
	if int64(len(body)) > most {
		e := c.errorf(BadAnswer, 0, "an answer of more than %d bytes", most)
		e.Status = resp.StatusCode
		return 0, nil, nil, e
	}
	return resp.StatusCode, resp.Header, body, nil
}

// transportError keeps what went wrong without the URL around it.
func (c *Client) transportError(err error) *Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	e := c.errorf(Unavailable, 0, "%v", err)
	e.Err = err
	return e
}

// answer reads the vectors out of an answer of status 200.
func (c *Client) answer(head http.Header, body []byte, want int) ([][]float32, error) {
	if kind, _, err := mime.ParseMediaType(head.Get("Content-Type")); err == nil && kind != "application/json" && kind != "text/plain" {
		return nil, c.errorf(BadAnswer, 0, "it answered in %s, not in JSON: is this the address of the server?", kind)
	}
	got, err := c.speak.reply(body, want)
	if err != nil {
		return nil, c.errorf(BadAnswer, 0, "its JSON is not an answer of this protocol: %v", err)
	}
	return c.checked(got, want)
}

// statusError is what an answer other than 200 means.
func (c *Client) statusError(status int, head http.Header, body []byte, key string, texts []string) *Error {
	reason := excerpt(body, key)
	if repeats(reason, texts) {
		reason = "its reason repeats what it was sent, and is left out here"
	}
	e := c.errorf(Refused, 0, "%s", reason)
	e.Status = status
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		e.Kind = Unavailable
		e.RetryAfter = retryAfter(head.Get("Retry-After"), c.o.Now())
	case status < 400:
		e.Kind, e.Reason = BadAnswer, "it sent us elsewhere, where the key must not go"
	}
	return e
}

// longestRest is the longest Retry-After that is believed.
const longestRest = time.Hour

func retryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds > 0 && seconds < 1e6 {
		d = time.Duration(seconds * float64(time.Second))
	} else if at, err := http.ParseTime(s); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), longestRest)
}

// repeatedWords is from how many words of a text on a reason is taken to repeat it.
const repeatedWords = 3

// repeats says whether a server's reason has words of a text in it: what goes into
// errors comes into logs, and memories do not belong there.
func repeats(reason string, texts []string) bool {
	for _, t := range texts {
		words := strings.Fields(t)
		for i := 0; i < max(len(words)-repeatedWords+1, 1) && len(words) > 0; i++ {
			if strings.Contains(reason, strings.Join(words[i:min(i+repeatedWords, len(words))], " ")) {
				return true
			}
		}
	}
	return false
}

// excerpt is the beginning of what a server wrote, on one line, without the key in case it was repeated to us.
func excerpt(body []byte, key string) string {
	s := string(body)
	if key != "" {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), 400)])
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "it gave no reason"
	}
	return s[:min(len(s), 200)]
}
