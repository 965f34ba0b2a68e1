package text

import (
	"math"
	"sync"
	"unsafe"
)

// Params are the numbers of BM25 and the name of what made the terms. The zero value means the defaults.
//
// A document scores, for each term of the query that it holds (count times in the document, want times in the query),
//
//	want * idf * count / (count + K1*(1 - B + B*length/average))      idf = ln(1 + (N - df + 0.5) / (df + 0.5))
//
// over N documents of which df hold the term: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
// Beyond" (2009), equation 3.15, with the idf that Lucene made positive and without the constant factor K1+1, which
// changes no order. So a term gives less than its idf, and the sum of the idf is the bound of a score.
type Params struct {
	// K1 says how soon further occurrences of a term stop counting. Default 1.2; negative means 0 (they never count).
	K1 float64
	// B says how much a longer document must hold to score the same, from 0 to 1. Default 0.6, a little below the usual
	// 0.75 for passages that vary in length for no reason of meaning; negative means 0 (length does not matter).
	B float64
	// Analysis names the rules that made the terms, as Analyzer.Version returns it. It is kept in snapshots; LoadIndex
	// refuses one that was made by other rules. At most 255 bytes. Empty is a name like any other.
	Analysis string
}

// withDefaults returns p with its zeros filled and its numbers in range.
func (p Params) withDefaults() Params {
	p.K1, p.B = filled(p.K1, 1.2, 1000), filled(p.B, 0.6, 1)
	p.Analysis = p.Analysis[:min(len(p.Analysis), 255)]
	return p
}

func filled(v, zero, most float64) float64 {
	if v == 0 || math.IsNaN(v) {
		return zero
	}
	return min(max(v, 0), most)
}

// Index is a BM25 index of documents by their terms, in memory. All methods may be called at the same time. A search
// sees each Put and Delete whole or not at all, and sees those that have returned.
type Index struct {
	params Params // immutable

	// write is held by whoever changes the index, and by Save while it takes its view: so a compaction, which takes
	// long, and a Save keep writers waiting but no search. It is taken before mu.
	write sync.Mutex
	// mu guards core and all in it: held for reading by searches, for writing by the last step of a change.
	mu   sync.RWMutex
	core *core
}

// NewIndex returns an empty index. It takes less than a kilobyte until documents are put.
func NewIndex(p Params) *Index {
	return &Index{params: p.withDefaults(), core: new(core)}
}

// Params returns the parameters in use, defaults filled in.
func (x *Index) Params() Params { return x.params }

// Put inserts a document or replaces it. It keeps nothing of d. Dead documents are cleared away by the Put or Delete
// that makes them too many (maxDeadShare), which then takes some 1.5 microseconds a live document; searches go on
// meanwhile.
func (x *Index) Put(doc uint32, d Document) {
	x.write.Lock()
	defer x.write.Unlock()
	x.change(func(c *core) {
		c.bury(doc)
		c.put(doc, d)
	})
	x.compact()
}

// Delete removes a document; nothing happens if there is none. Scores are from then on as if it had never been there.
// Its terms stay in memory until the next compaction, unreachable by searches, but not yet erased.
func (x *Index) Delete(doc uint32) {
	x.write.Lock()
	defer x.write.Unlock()
	x.change(func(c *core) { c.bury(doc) })
	x.compact()
}

// Compact clears the dead away at once, so that nothing of a deleted document stays in memory or in the next snapshot:
// for erasure. Searches go on meanwhile.
func (x *Index) Compact() {
	x.write.Lock()
	defer x.write.Unlock()
	if len(x.core.deaths) > 0 {
		x.swap(x.core.compacted())
	}
}

// maxDeadShare is the share of dead slots at which an index is compacted, minDead how many there must be at least.
// A compaction rewrites what is alive, at most three times as much as died since the last: so it costs each Put and
// Delete a constant time on average.
const (
	maxDeadShare = 0.25
	minDead      = 64
)

// compact replaces the core if too much of it is dead. The caller holds write.
func (x *Index) compact() {
	if dead := len(x.core.deaths); dead >= minDead && float64(dead) > maxDeadShare*float64(len(x.core.docs)) {
		x.swap(x.core.compacted())
	}
}

func (x *Index) change(do func(*core)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	do(x.core)
}

func (x *Index) swap(c *core) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.core = c
}

// Stats describe an index.
type Stats struct {
	Docs     int     // live documents
	Terms    int     // distinct terms, stop words included, and those that only dead documents hold until compaction
	Postings uint64  // pairs of term and document, those of dead documents included
	Tokens   uint64  // sum of the lengths of the live documents
	Bytes    int     // of memory, as allocated, maps and strings estimated
	Dead     float64 // share of slots that are dead; compaction keeps it at or below a quarter (but for 63 slots)
}

// Stats returns the figures of this moment, in constant time.
func (x *Index) Stats() Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	c := x.core
	s := Stats{Docs: c.live(), Terms: len(c.names), Postings: c.count, Tokens: c.tokens, Bytes: c.size()}
	if len(c.docs) > 0 {
		s.Dead = float64(len(c.deaths)) / float64(len(c.docs))
	}
	return s
}

// mapEntry is what a map entry takes besides key and value: control byte and room to grow, on average.
const mapEntry = 1.5

// size estimates the memory of the core in bytes.
func (c *core) size() int {
	const header = int(unsafe.Sizeof(""))
	n := int(unsafe.Sizeof(*c)) + c.bytes
	n += cap(c.lists)*int(unsafe.Sizeof(postings{})) + cap(c.names)*header
	n += int(mapEntry * float64(len(c.dict)*(header+4)))
	n += 4*(cap(c.docs)+cap(c.lengths)+cap(c.deaths)+cap(c.slots.near)) + 8*cap(c.dead)
	return n + int(mapEntry*float64(len(c.slots.far)*8))
}
