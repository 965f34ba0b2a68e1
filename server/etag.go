package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// etag names a version of a memory, an entity or a link, and no other one ever. Its
// number alone would not: an id that is forgotten and remembered has version 1 again.
// The LSN tells the two apart within a space; the time does in a space that was made
// again under its name, or restored to an earlier state, where LSNs repeat.
func etag(version uint32, lsn memory.LSN, stored time.Time) string {
	return fmt.Sprintf(`"%d-%d-%d"`, version, lsn, stored.UnixNano())
}

// match puts the If-Match of a memory, an entity or a link into the options of a write.
func (c *Call) match(o *engram.WriteOptions) error {
	if c.IfMatch == "" || c.IfMatch == "*" {
		return nil
	}
	number, rest, _ := strings.Cut(strings.Trim(c.IfMatch, `"`), "-")
	lsn, stored, _ := strings.Cut(rest, "-")
	v, _ := strconv.ParseUint(number, 10, 32)
	l, _ := strconv.ParseUint(lsn, 10, 64)
	t, _ := strconv.ParseInt(stored, 10, 64)
	o.IfMatch, o.IfLSN, o.IfStored = uint32(v), memory.LSN(l), time.Unix(0, t)
	if v == 0 || l == 0 || etag(o.IfMatch, o.IfLSN, o.IfStored) != c.IfMatch {
		return c.mismatch() // no answer had it
	}
	return nil
}
