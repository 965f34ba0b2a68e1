package engram

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
	"github.com/engramdb/engram/text"
)

// SpaceInfo is what is known about a space.
type SpaceInfo struct {
	Name     memory.SpaceName
	ID       memory.SpaceID
	Settings memory.Settings
	Created  time.Time
	Version  uint32 // of the settings
	Counts   Counts
	Bytes    uint64 // on disk, estimated
	LSN      memory.LSN
	Horizon  memory.LSN // records up to it are no longer in the journal
	Indexes  []IndexInfo
	Reembed  *Reembedding // on its way to another model; nil: it stays with its own
}

// Counts of what lives in a space.
type Counts struct {
	Episodes, Concepts, Entities, Links, Bindings uint64
}

// IndexInfo says how far an index has followed the journal.
type IndexInfo struct {
	Name  string     // facets, text, vector; links, where the rules make them
	LSN   memory.LSN // 0 when the space is closed: it follows when it is opened
	Tail  int        // changes that are acknowledged and not in the index yet
	Bytes int64      // in memory
	Items int        // memories in it; links in links
}

func knownLanguage(code string) error {
	_, err := text.NewAnalyzer(code)
	return err
}

// CreateSpace makes a space. When it stands with the same settings (after
// defaults) created is false; with others the error is space_exists (conflict).
func (db *DB) CreateSpace(ctx context.Context, name memory.SpaceName, s memory.Settings) (info SpaceInfo, created bool, err error) {
	const op = "create_space"
	if err := name.Check(); err != nil {
		return info, false, memory.InOp(op, err)
	}
	if err := db.withModel(&s); err != nil {
		return info, false, memory.InOp(op, err)
	}
	if err := s.Normalize(knownLanguage); err != nil {
		return info, false, memory.InOp(op, err)
	}
	var st *store.SpaceState
	_, err = db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		old, err := tx.Space(name)
		if err != nil {
			return err
		}
		if old != nil {
			st = old
			return sameSettings(old, s)
		}
		if err := db.models.stands(tx, s.Vector.Model); err != nil {
			return err
		}
		created = true
		st = &store.SpaceState{ID: tx.Meta().NextSpace, Name: name, Settings: s, Created: tx.Now(), Version: 1}
		return tx.PutSpace(st)
	}})
	if err != nil {
		return info, false, memory.InOp(op, err)
	}
	sp, err := db.Space(name)
	if err != nil {
		return info, created, memory.InOp(op, err)
	}
	info, err = sp.Info(ctx)
	return info, created, err
}

func sameSettings(old *store.SpaceState, s memory.Settings) error {
	if old.Settings.Same(s) {
		return nil
	}
	return memory.Errorf(memory.KindConflict, "space_exists", "space %q exists with other settings (%s)", old.Name, settingsDifference(old.Settings, s)).
		Hinted("use another name, or change what can be changed with PATCH")
}

// settingsDifference names what differs.
func settingsDifference(a, b memory.Settings) string {
	var d string
	note := func(name string, x, y any) {
		if x != y {
			if d != "" {
				d += ", "
			}
			d += fmt.Sprintf("%s: %v stands, %v asked", name, x, y)
		}
	}
	note("vector.dimension", a.Vector.Dimension, b.Vector.Dimension)
	note("vector.metric", a.Vector.Metric, b.Vector.Metric)
	note("vector.model", a.Vector.Model, b.Vector.Model)
	note("language", a.Language, b.Language)
	note("durability", a.Durability, b.Durability)
	note("horizon", a.Horizon, b.Horizon)
	note("links", linkNote(a.Links), linkNote(b.Links))
	return d
}

func linkNote(l *memory.LinkSettings) string {
	if l == nil {
		return "default"
	}
	return fmt.Sprintf("%v %v", l.Rules, l.Patterns)
}

// Spaces lists spaces by name, after the name that is given, at most n.
func (db *DB) Spaces(ctx context.Context, after memory.SpaceName, n int) ([]SpaceInfo, error) {
	db.spaces.RLock()
	var names []memory.SpaceName
	for name := range db.spaces.byName {
		if name > after {
			names = append(names, name)
		}
	}
	db.spaces.RUnlock()
	sort.Slice(names, func(i, j int) bool { return names[i] < names[j] })
	infos := make([]SpaceInfo, 0, min(n, len(names)))
	for _, name := range names[:min(n, len(names))] {
		s, err := db.Space(name)
		if err != nil {
			continue // dropped meanwhile
		}
		info, err := s.Info(ctx)
		if memory.KindOf(err) == memory.KindNotFound && err != nil {
			continue
		}
		if err != nil {
			return nil, memory.InOp("list_spaces", err)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Space gives the handle of a space; space_not_found when there is none. The
// handle stays valid until the space is dropped; then its calls fail with
// space_not_found, also when the name has been made again.
func (db *DB) Space(name memory.SpaceName) (*Space, error) {
	db.spaces.RLock()
	defer db.spaces.RUnlock()
	s, ok := db.spaces.byName[name]
	if !ok {
		return nil, spaceNotFound(name)
	}
	return s, nil
}

func spaceNotFound(name memory.SpaceName) error {
	return memory.NotFound("space_not_found", "there is no space %q", name).Hinted("make it: engram space create %s, or PUT /v1/spaces/%s", name, name)
}

// UpdateSpace changes settings: change gets a copy of what stands. ifMatch is a
// version, 0 for any; version_mismatch (precondition) otherwise. The language
// cannot change, nor the vector settings once a dimension is set.
func (db *DB) UpdateSpace(ctx context.Context, name memory.SpaceName, ifMatch uint32, change func(*memory.Settings) error) (SpaceInfo, error) {
	const op = "update_space"
	s, err := db.Space(name)
	if err != nil {
		return SpaceInfo{}, memory.InOp(op, err)
	}
	_, err = db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		old, err := tx.Space(name)
		if err != nil {
			return err
		}
		if old == nil || old.ID != s.id {
			return spaceNotFound(name)
		}
		if ifMatch != 0 && ifMatch != old.Version {
			return versionMismatch("space "+string(name), ifMatch, old.Version)
		}
		n := *old
		if err := changeSettings(&n.Settings, change); err != nil {
			return err
		}
		if n.Settings.Same(old.Settings) {
			return nil
		}
		n.Version++
		return tx.PutSpace(&n)
	}})
	if err != nil {
		return SpaceInfo{}, memory.InOp(op, err)
	}
	return s.Info(ctx)
}

func changeSettings(s *memory.Settings, change func(*memory.Settings) error) error {
	old := *s
	if err := change(s); err != nil {
		return err
	}
	if err := s.Normalize(knownLanguage); err != nil {
		return err
	}
	if s.Language != old.Language {
		return memory.Errorf(memory.KindConflict, "settings_fixed", "settings.language is %q and cannot change: the words of the space are indexed by it", old.Language).
			Hinted("make a new space and store the memories there")
	}
	if s.Vector != old.Vector {
		return memory.Errorf(memory.KindConflict, "settings_fixed", "settings.vector cannot change once the space is made").
			Hinted("move the space to another model with POST /v1/spaces/{space}/reembed (engram space reembed), or make a new one and store the memories there")
	}
	return nil
}

func versionMismatch(what string, asked, stands uint32) error {
	return memory.Errorf(memory.KindPrecondition, "version_mismatch", "%s has version %d, and If-Match asks for %d", what, stands, asked).
		Hinted("read it again and decide anew").With("version", stands)
}

// DropSpace makes the space unknown to every door at once and starts the job
// that takes it from disk.
func (db *DB) DropSpace(ctx context.Context, name memory.SpaceName) (Job, error) {
	const op = "drop_space"
	s, err := db.Space(name)
	if err != nil {
		return Job{}, memory.InOp(op, err)
	}
	var st *store.SpaceState
	_, err = db.shard.Commit(ctx, &store.Write{Decide: func(tx *store.Tx) error {
		st, err = tx.Space(name)
		if err != nil {
			return err
		}
		if st == nil || st.ID != s.id {
			return spaceNotFound(name)
		}
		s.dropped.Store(true) // writes behind this one in the queue see it
		return tx.DropSpace(st)
	}})
	if err != nil {
		return Job{}, memory.InOp(op, err)
	}
	return db.startDrop(*st).snapshot(), nil
}

// followSpaces keeps what every door knows of the spaces in step with the
// records that say so, in their order: two calls that change the same space may
// return in another order than they were decided in.
func (db *DB) followSpaces(ps []store.Published) {
	for _, p := range ps {
		switch st := p.Record.Space; p.Record.Kind {
		case store.SpacePut:
			db.know(st)
		case store.SpaceDropped:
			db.unknow(st)
		case store.SettingPut:
			db.keys.follow(p.Record.Setting)
			db.followModel(p.Record.Setting)
			db.logAct(p.Record.Setting)
		}
	}
}

func (db *DB) unknow(st *store.SpaceState) {
	db.spaces.Lock()
	defer db.spaces.Unlock()
	delete(db.spaces.byID, st.ID)
	if s := db.spaces.byName[st.Name]; s != nil && s.id == st.ID {
		delete(db.spaces.byName, st.Name)
	}
}

func (db *DB) startDrop(st store.SpaceState) *job {
	return db.jobs.start(&db.run, "drop_space", func(ctx context.Context) (map[string]any, error) {
		db.towers.discard(st.ID)
		db.pasts.drop(st.ID)
		if err := db.removeSnapshots(st.ID); err != nil {
			return nil, err
		}
		return map[string]any{"space": string(st.Name)}, db.shard.WipeSpace(ctx, st)
	})
}
