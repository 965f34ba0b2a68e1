package engram

import (
	"context"
	"sync"
	"time"

	"github.com/engramdb/engram/internal/clock"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// Job is work that may take long.
type Job struct {
	ID       string
	Kind     string           // drop_space, erase, relink, reembed
	Space    memory.SpaceName // that it works on, where the database knows; a job of relink or reembed, after a restart too
	State    JobState
	Progress float64 // 0 to 1
	Err      error
	Result   map[string]any
	Started  time.Time
	Ended    time.Time
}

// JobState is where a job stands.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Bounds of what is remembered of ended jobs.
const (
	jobsKept    = 1000
	jobsKeptFor = time.Hour
)

// jobs are the jobs of this process. A job whose work must survive the process
// leaves it in the state and is started again at Open.
type jobs struct {
	clock clock.Clock
	mu    struct {
		sync.Mutex
		byID  map[string]*job
		order []string // as they started
	}
}

type job struct {
	mu     sync.Mutex // guards Job
	Job    Job
	cancel context.CancelFunc
	done   chan struct{}
}

func (j *job) snapshot() Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Job
}

// at says how far the job is, from 0 to 1.
func (j *job) at(progress float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.Job.Progress = progress
}

func (j *jobs) init(c clock.Clock) {
	j.clock = c
	j.mu.byID = make(map[string]*job)
}

// start runs work as a job on a goroutine of the runner.
func (j *jobs) start(r *runner, kind string, work func(ctx context.Context) (map[string]any, error)) *job {
	return j.startAs(r, Job{ID: string(memory.NewID()), Kind: kind}, func(ctx context.Context, _ *job) (map[string]any, error) { return work(ctx) })
}

// startAs is start for a job that has an id already, and says how far it is.
func (j *jobs) startAs(r *runner, as Job, work func(ctx context.Context, one *job) (map[string]any, error)) *job {
	ctx, cancel := context.WithCancel(context.Background())
	one := &job{cancel: cancel, done: make(chan struct{})}
	as.State, as.Started = JobRunning, j.clock.Now()
	one.Job = as
	j.mu.Lock()
	j.pruneLocked()
	if _, again := j.mu.byID[one.Job.ID]; !again {
		j.mu.order = append(j.mu.order, one.Job.ID)
	}
	j.mu.byID[one.Job.ID] = one
	j.mu.Unlock()
	started := r.startUnlessClosing("job "+as.Kind, func() {
		defer close(one.done)
		defer cancel()
		result, err := work(ctx, one)
		j.end(one, ctx, result, err)
	})
	if !started {
		cancel()
		j.end(one, ctx, nil, store.ErrClosed)
		close(one.done)
	}
	return one
}

func (j *jobs) end(one *job, ctx context.Context, result map[string]any, err error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.Job.Ended, one.Job.Result, one.Job.Err = j.clock.Now(), result, err
	switch {
	case err == nil:
		one.Job.State, one.Job.Progress = JobDone, 1
	case ctx.Err() != nil:
		one.Job.State = JobCancelled
	default:
		one.Job.State = JobFailed
	}
}

// pruneLocked forgets jobs that ended long ago, or too many.
func (j *jobs) pruneLocked() {
	limit := j.clock.Now().Add(-jobsKeptFor)
	kept := j.mu.order[:0]
	excess := len(j.mu.order) - jobsKept
	for _, id := range j.mu.order {
		one := j.mu.byID[id].snapshot()
		if one.State != JobRunning && (one.Ended.Before(limit) || excess > 0) {
			delete(j.mu.byID, id)
			excess--
			continue
		}
		kept = append(kept, id)
	}
	j.mu.order = kept
}

func (j *jobs) get(id string) (*job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	one, ok := j.mu.byID[id]
	if !ok {
		return nil, memory.NotFound("job_not_found", "there is no job %q; ended jobs are kept for %v", id, jobsKeptFor)
	}
	return one, nil
}

func (j *jobs) cancelAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range j.mu.byID {
		one.cancel()
	}
}

// Job looks a job up; job_not_found. Ended jobs are kept for an hour, at most
// 1,000.
func (db *DB) Job(id string) (Job, error) {
	one, err := db.jobs.get(id)
	if err != nil {
		return Job{}, memory.InOp("job", err)
	}
	return one.snapshot(), nil
}

// CancelJob asks a job to stop; job_not_found, or job_ended (conflict).
func (db *DB) CancelJob(id string) (Job, error) {
	one, err := db.jobs.get(id)
	if err != nil {
		return Job{}, memory.InOp("cancel_job", err)
	}
	if j := one.snapshot(); j.State != JobRunning {
		return j, memory.InOp("cancel_job", memory.Errorf(memory.KindConflict, "job_ended", "job %s is %s already", id, j.State))
	}
	one.cancel()
	return one.snapshot(), nil
}

// wait waits for the job for at most d, or until ctx ends; it says whether the
// job has ended.
func (j *jobs) wait(ctx context.Context, one *job, d time.Duration) bool {
	select {
	case <-one.done:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	select {
	case <-one.done:
		return true
	case <-j.clock.After(d):
	case <-ctx.Done():
	}
	return false
}
