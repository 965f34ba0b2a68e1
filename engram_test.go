package engram_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

func open(t *testing.T, fs vfs.FS) *engram.DB {
	t.Helper()
	db, err := engram.Open(context.Background(), "data", engram.Options{FS: fs, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestRememberRecallRestart(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	db := open(t, fs)
	if _, created, err := db.CreateSpace(ctx, "vec", memory.Settings{Vector: memory.VectorSettings{Dimension: 3}}); err != nil || !created {
		t.Fatal(created, err)
	}
	s, err := db.Space("vec")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := s.Remember(ctx, memory.Episode{ID: memory.ID(fmt.Sprintf("m%d", i)), Text: fmt.Sprintf("otter number%d swims", i), Vector: []float32{1, float32(i), 2}}, engram.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recall(ctx, memory.Cue{Text: fmt.Sprintf("number%d", i), Limit: 3})
		if err != nil || len(r.Results) != 1 || r.Results[0].Memory.ID != memory.ID(fmt.Sprintf("m%d", i)) {
			t.Fatal(i, r, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, fs)
	s, err = db.Space("vec")
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Recall(ctx, memory.Cue{Vector: []float32{1, 50, 2}, Limit: 1})
	if err != nil || len(r.Results) != 1 || r.Results[0].Memory.ID != "m50" || !r.Exact || r.Compared != 100 {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := s.Delete(ctx, "m50", memory.Erase, 1e10, engram.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, "m50", engram.ReadOptions{}); memory.KindOf(err) != memory.KindNotFound {
		t.Fatal(err)
	}
	p, err := s.List(ctx, engram.ListQuery{PageSize: 60})
	if err != nil || len(p.Memories) != 60 {
		t.Fatal(len(p.Memories), err)
	}
	p, err = s.List(ctx, engram.ListQuery{PageSize: 60, PageToken: p.NextPageToken})
	if err != nil || len(p.Memories) != 39 || p.NextPageToken != "" {
		t.Fatal(len(p.Memories), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
