package server

import "sync"

// jobSpaces remembers which space a job works on, so that a key of another does
// not see it. Jobs are of one process, and so is this.
type jobSpaces struct {
	mu    sync.Mutex
	of    map[string]string
	order []string // as they came
}

// jobSpacesMax is as many as the database keeps of ended jobs, and some that run.
const jobSpacesMax = 2000

func (j *jobSpaces) add(id, space string) {
	if id == "" {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.of == nil {
		j.of = map[string]string{}
	}
	if _, ok := j.of[id]; ok {
		return
	}
	j.of[id] = space
	j.order = append(j.order, id)
	for len(j.order) > jobSpacesMax {
		delete(j.of, j.order[0])
		j.order = j.order[1:]
	}
}

func (j *jobSpaces) space(id string) (string, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, ok := j.of[id]
	return s, ok
}
