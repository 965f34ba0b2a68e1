package engram

import (
	"context"
	"time"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Act is what somebody did to the database as its administrator.
type Act struct {
	LSN    memory.LSN `cbor:"-"` // in the journal of the database
	Time   time.Time  `cbor:"-"`
	Who    string     `cbor:"1,keyasint"`           // see AsActor
	What   string     `cbor:"2,keyasint"`           // key_created, space_dropped, ...
	Target string     `cbor:"3,keyasint,omitempty"` // the id of the key, the name of the space
	Note   string     `cbor:"4,keyasint,omitempty"` // the name of the key
}

// What is recorded of keys; the doors record what they do to spaces.
const (
	ActKeyCreated      = "key_created"
	ActKeyRotated      = "key_rotated"
	ActKeyRevoked      = "key_revoked"
	ActSpaceCreated    = "space_created"
	ActSpaceChanged    = "space_changed"
	ActSpaceDropped    = "space_dropped"
	ActSpaceReembedded = "space_reembedded"
	ActModelAdded      = "model_added"
	ActModelRemoved    = "model_removed"
)

// actSetting is the setting whose every value is an act. The state has the last
// alone; the history is the journal of space 0, which is kept whole.
const actSetting = "act"

func (a *Act) put(tx *store.Tx) error { return tx.PutSetting(actSetting, store.Encode(a)) }

type actorKey struct{}

// AsActor says in whose name what is done under ctx is recorded.
func AsActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// actorOf is who acts; a program that has the database open itself is "local".
func actorOf(ctx context.Context) string {
	if who, ok := ctx.Value(actorKey{}).(string); ok {
		return who
	}
	return "local"
}

// RecordAct records an act and logs it. Those on keys record themselves.
func (db *DB) RecordAct(ctx context.Context, what, target string) error {
	a := Act{Who: actorOf(ctx), What: what, Target: target}
	_, err := db.shard.Commit(ctx, &store.Write{Decide: a.put})
	return memory.InOp("record_act", err)
}

// Acts reads what was recorded behind an LSN of the database's journal, at most
// n, in order. next is the LSN to go on behind.
func (db *DB) Acts(after memory.LSN, n int) (acts []Act, next memory.LSN, err error) {
	v, err := db.shard.View()
	if err != nil {
		return nil, 0, memory.InOp("list_acts", err)
	}
	defer v.Close()
	next = after
	err = v.Records(0, after, func(r *store.Record) (bool, error) {
		next = r.LSN
		if r.Kind != store.SettingPut || r.Setting.Name != actSetting {
			return true, nil
		}
		a := Act{LSN: r.LSN, Time: r.Time.UTC()}
		if err := store.Decode(r.Setting.Value, &a); err != nil {
			a.What = "unreadable" // an auditor wants to know that there was one
		}
		acts = append(acts, a)
		return len(acts) < n, nil
	})
	return acts, next, memory.InOp("list_acts", err)
}

// logAct tells the log of an act that is on disk, whoever did it.
func (db *DB) logAct(s *store.Setting) {
	var a Act
	if s.Name != actSetting || store.Decode(s.Value, &a) != nil {
		return
	}
	db.opts.Logger.Info("act", "who", a.Who, "what", a.What, "target", a.Target, "note", a.Note)
}

// LogUnrecorded tells the log of an act that could not be recorded.
func (db *DB) LogUnrecorded(what, target string, err error) {
	db.opts.Logger.Error("an act is not recorded", "what", what, "target", target, "error", err)
}
