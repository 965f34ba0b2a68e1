package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/engramdb/engram/memory"
)

// VerifyOptions of Verify. Zero means the default.
type VerifyOptions struct {
	MaxFindings int // findings that are kept; all are counted. Default DefaultFindings
}

// DefaultFindings bounds how many findings a report keeps.
const DefaultFindings = 1000

// Report is what a verification read and found.
type Report struct {
	Tables, Spaces, Keys, Records, Payloads uint64
	Findings                                []Finding // the first ones
	Total                                   int       // of all findings
	max                                     int
}

// Sound says that nothing is wrong.
func (r *Report) Sound() bool { return r.Total == 0 }

// Finding is one thing that is wrong. It names the file, or the space, the key
// and, where there is one, the number of the thing: an LSN or an ordinal.
type Finding struct {
	File   string
	Offset int64
	Space  memory.SpaceID
	Name   memory.SpaceName
	Thing  string
	Number uint64
	Key    string // hex
	Wrong  string
}

func (f Finding) String() string {
	if f.File != "" {
		return fmt.Sprintf("file %s, offset %d: %s", f.File, f.Offset, f.Wrong)
	}
	return fmt.Sprintf("space %d (%s), %s %d, key %s: %s", f.Space, f.Name, f.Thing, f.Number, f.Key, f.Wrong)
}

func (r *Report) add(f Finding) {
	r.Total++
	if len(r.Findings) < r.max {
		r.Findings = append(r.Findings, f)
	}
}

func (r *Report) addFile(path string, err error) {
	f := Finding{File: path, Wrong: err.Error()}
	var e *memory.Error
	if errors.As(err, &e) && e.Details["file"] != nil {
		f.File, f.Offset = e.Details["file"].(string), e.Details["offset"].(int64)
	}
	r.add(f)
}

func (o VerifyOptions) report() Report {
	if o.MaxFindings == 0 {
		o.MaxFindings = DefaultFindings
	}
	return Report{max: o.MaxFindings}
}

// Verify reads everything in the shard as it stands: every block of every table,
// every record, payload and key. It replays each space's journal on its base and
// compares what comes out with the state, key by key. Writers do not wait. The
// error says that it could not be done; what is wrong with the data is in the
// report. It takes memory for what the journal above the horizon has changed.
func (s *Shard) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	r := o.report()
	v, err := s.View()
	if err != nil {
		return r, err
	}
	defer v.Close()
	if err := s.verifyTables(ctx, &r); err != nil {
		return r, err
	}
	return r, v.verify(ctx, &r)
}

func (s *Shard) verifyTables(ctx context.Context, r *Report) error {
	live, err := s.liveTables(nil)
	if err != nil {
		return err
	}
	for name := range live {
		if err := s.aborted(ctx); err != nil {
			return err
		}
		err := s.withTable(ctx, name, (*sstable.Reader).ValidateBlockChecksums)
		if errors.Is(err, os.ErrNotExist) && !s.isLive(name) {
			continue // merged into others in the meantime
		}
		r.Tables++
		if err != nil {
			r.addFile(s.opts.FS.PathJoin(s.dir, storeDir, name), err)
		}
	}
	if err := s.db.CheckLevels(nil); err != nil {
		r.addFile(s.opts.FS.PathJoin(s.dir, storeDir), fmt.Errorf("the levels of the tables do not fit: %w", err))
	}
	return nil
}

func (s *Shard) isLive(name string) bool {
	live, err := s.liveTables(nil)
	return err == nil && live[name]
}

// verify walks the spaces that have keys.
func (v *View) verify(ctx context.Context, r *Report) error {
	known, err := v.spacesByID(r)
	if err != nil {
		return err
	}
	for id, more := memory.SpaceID(0), true; more; id++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if id, more, err = v.nextSpace(id); err != nil || !more {
			return unlessDamaged(r, err)
		}
		st, ok := known[id]
		c := check{v: v, r: r, space: id, state: st}
		if !ok {
			c.found("space", 0, key(id, 0)[:4], "it has keys and does not exist")
		} else if st != nil {
			r.Spaces++
			if err := c.all(ctx); err != nil {
				return err
			}
		}
		if id == 1<<32-1 {
			return nil
		}
	}
	return nil
}

// unlessDamaged makes a finding of damage and passes other errors on.
func unlessDamaged(r *Report, err error) error {
	if memory.KindOf(err) != memory.KindCorrupt {
		return err
	}
	r.add(Finding{Thing: "key", Wrong: err.Error()})
	return nil
}

// spacesByID gives what space 0 knows; nil stands for one that is dropped.
func (v *View) spacesByID(r *Report) (map[memory.SpaceID]*SpaceState, error) {
	known := map[memory.SpaceID]*SpaceState{0: {Name: "_system"}}
	err := v.Spaces("", func(st *SpaceState) (bool, error) {
		if known[st.ID] != nil {
			r.add(Finding{Space: st.ID, Name: st.Name, Thing: "space", Wrong: fmt.Sprintf("it has the id of %s", known[st.ID].Name)})
		}
		known[st.ID] = st
		return true, nil
	})
	if err := unlessDamaged(r, err); err != nil {
		return nil, err
	}
	dropping, err := v.Dropping()
	for _, st := range dropping {
		known[st.ID] = nil
	}
	return known, unlessDamaged(r, err)
}

// nextSpace is the first space with keys from one on.
func (v *View) nextSpace(from memory.SpaceID) (id memory.SpaceID, found bool, err error) {
	k, err := v.firstKey(key(from, 0)[:4], nil)
	if k == nil || err != nil {
		return 0, false, err
	}
	return memory.SpaceID(binary.BigEndian.Uint32(append(k, 0, 0, 0, 0))), true, nil
}

// firstKey is the first key in a range, nil when there is none.
func (v *View) firstKey(from, to []byte) (first []byte, err error) {
	err = scanRange(v.d.r, from, to, func(k, _ []byte) bool {
		first = bytes.Clone(k)
		return false
	})
	return first, err
}

// StateDigest is SHA-256 over the state of a space, as apply has placed it: the
// keys, without the space's number, and values of the state tables, in order.
// The same journal from the same base gives the same digest on every platform.
func (v *View) StateDigest(space memory.SpaceID) ([]byte, error) {
	h := sha256.New()
	var n [16]byte
	for _, t := range sortedTables {
		prefix := key(space, t)
		err := scanRange(v.d.r, prefix, prefixEnd(prefix), func(k, val []byte) bool {
			binary.BigEndian.PutUint64(n[:8], uint64(len(k)-4))
			binary.BigEndian.PutUint64(n[8:], uint64(len(val)))
			h.Write(n[:])
			h.Write(k[4:])
			h.Write(val)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}

var sortedTables = slices.Sorted(slices.Values(stateTables))
