package engram

import "sync/atomic"

// takeApart makes the document of a memory whose words are its writer's work.
func (p *prepared) takeApart() {
	if p.in != nil && p.in.own {
		p.in.takeApart()
	}
}

// takeApartBeside takes the words of a batch apart while the batch is decided and
// brought to disk, where its writer has nothing to do but wait. The function that it
// returns ends that: of a batch that is stored, what is left is done before.
func takeApartBeside(items []*prepared) (end func(stored bool)) {
	var begun atomic.Int64
	next := func() bool {
		i := begun.Add(1)
		if i > int64(len(items)) {
			return false
		}
		// From the last: who moves the queue on comes from the first.
		if p := items[len(items)-int(i)]; p != nil { // nil: it was refused
			p.takeApart()
		}
		return true
	}
	done := make(chan struct{})
	go func() { // ends before the batch is answered
		defer close(done)
		for next() {
		}
	}()
	return func(stored bool) {
		if !stored {
			begun.Store(int64(len(items)))
		}
		for next() {
		}
		<-done
	}
}
