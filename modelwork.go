package engram

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/remote"
)

// ModelWork is what a model did since the database was opened.
type ModelWork struct {
	Texts       uint64 // that it made vectors of
	Cues        uint64 // likewise
	Failures    uint64 // calls that failed
	LastError   error  // of the last call; nil when it succeeded
	LastErrorAt time.Time
	// RestingUntil is until when a remote model is not asked, as it failed several
	// times in a row; zero while it is.
	RestingUntil time.Time
}

type modelWork struct {
	mu   sync.Mutex // guards work
	work ModelWork
}

func (w *modelWork) read() ModelWork {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.work
}

func (w *modelWork) did(texts int, cues bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.work.LastError = nil; cues {
		w.work.Cues += uint64(texts)
	} else {
		w.work.Texts += uint64(texts)
	}
}

func (w *modelWork) failed(now time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.work.Failures++
	w.work.LastError, w.work.LastErrorAt = err, now
}

// ask asks a model for vectors, and counts. Who asked and went away, or gave a text
// of nothing, is no failure of the model.
func (db *DB) ask(ctx context.Context, m *openModel, words []string, cues bool) ([][]float32, error) {
	embedThem := m.Embed
	if cues && !m.beside() {
		defer db.calls.enter()()
	}
	if cues {
		embedThem = func(ctx context.Context, words []string) ([][]float32, error) { return embed.Cues(ctx, m.Model, words) }
	}
	made, err := embedThem(ctx, words)
	if err != nil && errors.Is(context.Cause(ctx), errTooLong) {
		err = fmt.Errorf("%w: %w", errTooLong, err)
	}
	var text *embed.TextError
	switch {
	case err == nil:
		m.work.did(len(words), cues)
	case errors.As(err, &text) || ctx.Err() != nil && !errors.Is(err, errTooLong):
	default:
		m.work.failed(db.Now(), err)
	}
	return made, err
}

// Bounds of how long a space's texts are left alone after its model failed.
const (
	embedRetry     = 5 * time.Second // when nothing better is known
	embedRetryMost = 5 * time.Minute
	// embedRetryRefused is for a server that refuses, or answers with what is no
	// vector: a person must look, and it is no use to ask often.
	embedRetryRefused = 30 * time.Second
)

// retryAfter is when to ask again after an error.
func retryAfter(err error) time.Duration {
	var r *remote.Error
	switch {
	case errors.Is(err, errNoRoom):
		return embedRetryRefused
	case !errors.As(err, &r):
		return embedRetry
	case r.RetryAfter > 0:
		return min(max(r.RetryAfter, embedRetry), embedRetryMost)
	case r.Kind != remote.Unavailable:
		return embedRetryRefused
	}
	return embedRetry
}

// ModelStats are figures of the models, for metrics.
type ModelStats struct {
	Name    string
	Work    ModelWork
	Resting bool // a remote model that is not asked for now
	Waiting int  // texts of open spaces that wait for its vectors
}

// ModelStats reads them, of the models that open spaces use or that were asked.
func (db *DB) ModelStats() []ModelStats {
	waiting := map[string]int{}
	for _, t := range db.towers.open() {
		select {
		case <-t.opened:
		default:
			continue
		}
		t.mu.RLock()
		for _, b := range t.backlogs() {
			waiting[b.model.name] += int(b.slots.Count())
		}
		t.mu.RUnlock()
	}
	now := db.Now()
	db.models.Lock()
	defer db.models.Unlock()
	stats := make([]ModelStats, 0, len(db.models.open))
	for name, m := range db.models.open {
		s := ModelStats{Name: name, Work: m.work.read(), Waiting: waiting[name]}
		if m.err == nil {
			if rest := m.resting(); rest != nil {
				s.Resting = rest.RestingUntil().After(now)
			}
		}
		stats = append(stats, s)
	}
	return stats
}
