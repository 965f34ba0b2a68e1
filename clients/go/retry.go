package engramclient

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/engramdb/engram/memory"
)

// again says whether a call is to be repeated, after having waited for it.
func (c *Client) again(ctx context.Context, h http.Header, name string, e *memory.Error, attempt int) bool {
	if attempt >= c.o.Retries || ctx.Err() != nil || !c.mayRepeat(h, name, e) {
		return false
	}
	wait := c.backoff(attempt, e.RetryAfter)
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= wait {
		return false // it would end while waiting: what went wrong says more than that
	}
	return c.o.sleep(ctx, wait) == nil
}

// mayRepeat says whether an error may go by itself, and whether the call may be
// done twice. A write without a key may only when the server itself has refused
// it: a connection that broke may have broken after the write.
func (c *Client) mayRepeat(h http.Header, name string, e *memory.Error) bool {
	switch e.Kind {
	case memory.KindBusy, memory.KindUnavailable:
	case memory.KindTimeout:
		if e.Code == codeDeadline {
			return false // the caller's own time is over
		}
	default:
		return false
	}
	if !writes[name] || h.Get(keyHeader) != "" {
		return true
	}
	return e.Code != codeUnreachable && e.Kind != memory.KindTimeout
}

// backoff is how long to wait before a repetition: what the server asks for, and
// on top a random part of a bound that doubles ("full jitter"), so that callers
// that were refused together do not come back together.
func (c *Client) backoff(attempt int, asked time.Duration) time.Duration {
	bound := float64(c.o.Backoff) * math.Pow(2, float64(attempt))
	bound = min(bound, float64(c.o.MaxBackoff))
	return asked + time.Duration(c.o.dice()*bound)
}
