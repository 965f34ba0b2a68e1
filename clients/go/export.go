package engramclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/engramdb/engram/memory"
)

// ExportOptions say what an export has in it. The zero value is the default.
type ExportOptions struct {
	// Vectors are those that are written: "given" by callers, which is the default,
	// "all", or "none".
	Vectors string
	// Moved is told now and then how many lines are written. An error ends the
	// export.
	Moved func(lines int64) error
}

// An ExportEnd is what the last line of an export says.
type ExportEnd struct {
	Memories int64  `json:"memories"`
	Entities int64  `json:"entities"`
	Links    int64  `json:"links"`
	Digest   string `json:"digest"`
}

// Export writes a space to w as JSONL (docs/format/jsonl.md), which Import of the
// server and engram import read. It takes as long as it takes: only ctx ends it.
// Without an error the export is whole; after one, w has a part of it, which
// begins anew when it is asked for again.
func (c *Client) Export(ctx context.Context, space string, w io.Writer, o ExportOptions) (ExportEnd, error) {
	answer, err := c.exported(ctx, space, o.Vectors)
	if err != nil {
		return ExportEnd{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return ExportEnd{}, c.refusal(answer)
	}
	if lsn, err := strconv.ParseUint(answer.Header.Get(lsnHeader), 10, 64); err == nil {
		c.seen.raise(space, lsn)
	}
	end, err := copyLines(w, answer.Body, o.Moved)
	var own *memory.Error
	if err != nil && ctx.Err() != nil && !errors.As(err, &own) {
		err = ended(context.Cause(ctx), opExport)
	}
	return end, err
}

const opExport = "export"

func (c *Client) exported(ctx context.Context, space, vectors string) (*http.Response, error) {
	address := c.base + "/v1/spaces/" + url.PathEscape(space) + "/export"
	if vectors != "" {
		address += "?vectors=" + url.QueryEscape(vectors)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, badAddress(c.base)
	}
	c.dress(r.Header)
	c.minLSN(r.Header, space)
	answer, err := c.http.Do(r)
	if err == nil {
		return answer, nil
	}
	if isContext(err) || ctx.Err() != nil {
		return nil, ended(err, opExport)
	}
	return nil, &memory.Error{Kind: memory.KindUnavailable, Code: codeUnreachable, Message: "no server answers at " + c.host() + ": " + err.Error(), Op: opExport, Retriable: true, Cause: err}
}

// exportStep is how many bytes there are between two calls of Moved, about.
const exportStep = 1 << 20

// copyLines writes the lines of an export but for an error, which it returns.
func copyLines(w io.Writer, body io.Reader, moved func(int64) error) (end ExportEnd, err error) {
	in := bufio.NewReaderSize(body, exportStep)
	var line []byte // when it is longer than the buffer
	var lines int64
	whole, step := false, 0
	for {
		part, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line = append(line, part...)
			continue
		}
		if errors.Is(err, io.EOF) && len(part)+len(line) == 0 {
			break
		}
		if err != nil {
			return end, cutOff(err)
		}
		if len(line) > 0 {
			part = append(line, part...)
			line = nil
		}
		if whole, err = lastLine(part, &end); err != nil {
			return end, err
		}
		if _, err := w.Write(part); err != nil {
			return end, err
		}
		lines++
		if step += len(part); step >= exportStep && moved != nil {
			step = 0
			if err := moved(lines); err != nil {
				return end, err
			}
		}
	}
	if !whole {
		return end, cutOff(io.ErrUnexpectedEOF)
	}
	return end, nil
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &memory.Error{Kind: memory.KindUnavailable, Code: codeUnreachable, Message: "the export was cut off: " + err.Error(), Op: opExport, Retriable: true, Cause: err}
}

// lastLine reads a line that ends an export: whole, or with an error.
func lastLine(line []byte, end *ExportEnd) (whole bool, err error) {
	switch {
	case bytes.HasPrefix(line, []byte(`{"end":`)):
		var l struct{ End ExportEnd }
		if err := json.Unmarshal(line, &l); err != nil {
			return false, foreign(fmt.Sprintf("the end of the export can not be read: %v", err))
		}
		*end = l.End
		return true, nil
	case bytes.HasPrefix(line, []byte(`{"error":`)):
		if e := toldJSON(line); e != nil {
			return false, e
		}
		return false, foreign("the export ended with an error that can not be read")
	}
	return false, nil
}

func foreign(message string) error {
	return &memory.Error{Kind: memory.KindInternal, Code: codeForeign, Message: message, Op: opExport}
}

// refusal is the error of an answer that is none.
func (c *Client) refusal(answer *http.Response) error {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return cutOff(err)
	}
	if e := toldJSON(body); e != nil {
		e.RetryAfter = retryAfter(answer.Header)
		return e
	}
	return foreign(fmt.Sprintf("%s answers %s", c.base, answer.Status))
}

// toldJSON reads an error as the REST door words it; nil when it is none.
func toldJSON(body []byte) *memory.Error {
	var a struct {
		Error struct {
			Kind, Code, Message, Op, Field, Hint string
			Retriable                            bool
			Details                              map[string]any
			RequestID                            string `json:"request_id"`
		}
	}
	if json.Unmarshal(body, &a) != nil || a.Error.Kind == "" {
		return nil
	}
	x := a.Error
	e := &memory.Error{Kind: memory.ErrorKind(x.Kind), Code: x.Code, Message: x.Message, Op: x.Op, Field: x.Field, Hint: x.Hint, Retriable: x.Retriable, Details: x.Details}
	if x.RequestID != "" {
		e = e.With("request_id", x.RequestID)
	}
	return e
}
