package memory

import "time"

// AsOf is a moment to answer from. It has two sides, which may be given together: what was
// stored by then, and what was so in the world by then. The zero value is now.
type AsOf struct {
	Stored time.Time // what was stored by then (system time)
	LSN    LSN       // instead of Stored: what was stored by this record
	Valid  time.Time // what had happened by then (valid time), along the links that held then
}

// IsZero says whether it is now.
func (a AsOf) IsZero() bool { return !a.Back() && a.Valid.IsZero() }

// Back says whether an earlier state is asked for.
func (a AsOf) Back() bool { return a.LSN != 0 || !a.Stored.IsZero() }

func (a *AsOf) normalize() (err error) {
	if a.LSN != 0 && !a.Stored.IsZero() {
		return Invalid("as_of_contradicts", "as_of", "as_of has stored and lsn; give one of them")
	}
	if !a.Stored.IsZero() {
		if a.Stored, err = checkTime("as_of.stored", a.Stored); err != nil {
			return err
		}
	}
	if !a.Valid.IsZero() {
		a.Valid, err = checkTime("as_of.valid", a.Valid)
	}
	return err
}

// checkAsOf says whether a cue that asks for another moment can be answered.
func (c *Cue) checkAsOf() error {
	if err := c.AsOf.normalize(); err != nil {
		return err
	}
	if c.IncludeLinks && !c.AsOf.IsZero() {
		return Invalid("as_of_without_links", "include", "include has links, which are given as they are now; leave them out, or leave out as_of")
	}
	return nil
}
