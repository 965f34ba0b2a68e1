package engram

// Work is what the database has to do besides calls.
type Work struct {
	// Jobs is how many jobs run, by their kind.
	Jobs map[string]int
	// Erasures is how many erasures are acknowledged whose bytes are not wiped
	// from disk yet. Only workSpaces spaces are looked at.
	Erasures int
}

// workSpaces bounds how many spaces are looked through for erasures.
const workSpaces = 1000

// Work reads what there is to do; an iterator for each space.
func (db *DB) Work() (Work, error) {
	w := Work{Jobs: db.jobs.running()}
	v, err := db.shard.View()
	if err != nil {
		return w, err
	}
	defer v.Close()
	db.spaces.RLock()
	spaces := make([]*Space, 0, min(len(db.spaces.byID), workSpaces))
	for _, s := range db.spaces.byID {
		if len(spaces) == workSpaces {
			break
		}
		spaces = append(spaces, s)
	}
	db.spaces.RUnlock()
	for _, s := range spaces {
		pending, err := v.Erasing(s.id)
		if err != nil {
			return w, err
		}
		w.Erasures += len(pending)
	}
	return w, nil
}

// jobKinds are the kinds of jobs that there can be, for figures that are 0.
var jobKinds = []string{"drop_space", "erase", "relink", "reembed"}

func (j *jobs) running() map[string]int {
	n := make(map[string]int, len(jobKinds))
	for _, kind := range jobKinds {
		n[kind] = 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range j.mu.byID {
		if job := one.snapshot(); job.State == JobRunning {
			n[job.Kind]++
		}
	}
	return n
}
