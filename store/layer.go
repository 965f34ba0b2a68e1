package store

import (
	"bytes"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// reader is the part of Pebble that the state is read from: the DB, a snapshot.
type reader interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// state is what apply reads and places in.
type state interface {
	get(k []byte) (value []byte, found bool, err error)
	set(k, value []byte)
	del(k []byte)
	// scan calls f for each key with the prefix, in order, until f says false.
	scan(prefix []byte, f func(k, value []byte) bool) error
}

// layer is changes on top of a state that does not know of them yet. A write
// decides in a layer of its own: kept, it is merged into the one below; failed,
// it is dropped, and nothing has happened.
type layer struct {
	below  state
	writes map[string][]byte // nil value: deleted
	keys   []string          // of writes: the first sorted are in order, the rest as they came
	sorted int
}

func newLayer(below state) *layer { return &layer{below: below, writes: make(map[string][]byte)} }

func (l *layer) get(k []byte) ([]byte, bool, error) {
	if v, ok := l.writes[string(k)]; ok {
		return v, v != nil, nil
	}
	return l.below.get(k)
}

func (l *layer) set(k, v []byte) {
	if v == nil {
		v = []byte{}
	}
	l.put(string(k), v)
}

func (l *layer) del(k []byte) { l.put(string(k), nil) }

func (l *layer) put(k string, v []byte) {
	n := len(l.writes)
	l.writes[k] = v
	if len(l.writes) > n {
		l.keys = append(l.keys, k)
	}
}

// order sorts the keys that came since the last scan. Most writes never scan
// and pay nothing; one that scans much does it before it writes, and pays once.
func (l *layer) order() {
	if l.sorted == len(l.keys) {
		return
	}
	fresh := l.keys[l.sorted:]
	slices.Sort(fresh)
	if l.sorted > 0 {
		l.keys = mergeSorted(l.keys[:l.sorted], fresh)
	}
	l.sorted = len(l.keys)
}

func mergeSorted(a, b []string) []string {
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// within lists the keys with a prefix, in order.
func (l *layer) within(prefix []byte) []string {
	l.order()
	from, _ := slices.BinarySearch(l.keys, string(prefix))
	end := prefixEnd(prefix)
	if end == nil {
		return l.keys[from:]
	}
	to, _ := slices.BinarySearch(l.keys, string(end))
	return l.keys[from:to]
}

func (l *layer) scan(prefix []byte, f func(k, v []byte) bool) error {
	mine := slices.Clone(l.within(prefix)) // f may write, which moves the keys
	if len(mine) == 0 {
		return l.below.scan(prefix, f)
	}
	next, stopped := 0, false
	emit := func(k, v []byte) bool {
		stopped = v != nil && !f(k, v)
		return !stopped
	}
	err := l.below.scan(prefix, func(k, v []byte) bool {
		for next < len(mine) && mine[next] < string(k) {
			if !emit([]byte(mine[next]), l.writes[mine[next]]) {
				return false
			}
			next++
		}
		if next < len(mine) && mine[next] == string(k) {
			v = l.writes[mine[next]]
			next++
		}
		return emit(k, v)
	})
	for ; err == nil && !stopped && next < len(mine); next++ {
		emit([]byte(mine[next]), l.writes[mine[next]])
	}
	return err
}

// mergeInto puts the changes into the layer below; l is not used afterwards.
func (l *layer) mergeInto(below *layer) {
	if len(below.keys) == 0 {
		below.writes, below.keys, below.sorted = l.writes, l.keys, l.sorted
		return
	}
	for _, k := range l.keys {
		below.put(k, l.writes[k])
	}
}

// size bounds the bytes of the changes in a batch.
func (l *layer) size() int {
	n := batchHeader
	for k, v := range l.writes {
		n += len(k) + len(v) + entryHeader
	}
	return n
}

// What a batch of Pebble has beside keys and values: its header, and for each entry a
// kind and two lengths of up to five bytes.
const (
	batchHeader = 12
	entryHeader = 11
)

// writeTo puts the changes into a batch, in the order of their keys: that is
// the quickest for Pebble's skip list.
func (l *layer) writeTo(b *pebble.Batch) error {
	l.order()
	for _, k := range l.keys {
		var err error
		if v := l.writes[k]; v == nil {
			err = b.Delete([]byte(k), nil)
		} else {
			err = b.Set([]byte(k), v, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// disk is the state as it lies in Pebble. It cannot be written: a layer is.
type disk struct{ r reader }

func (d disk) get(k []byte) ([]byte, bool, error) {
	v, done, err := d.r.Get(k)
	if err == pebble.ErrNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, readError(k, err)
	}
	v = append([]byte{}, v...) // never nil, also when it is empty
	return v, true, done.Close()
}

func (d disk) set(k, v []byte) { panic("store: write to a state that lies on disk") }
func (d disk) del(k []byte)    { panic("store: delete from a state that lies on disk") }

func (d disk) scan(prefix []byte, f func(k, v []byte) bool) error {
	return scanRange(d.r, prefix, prefixEnd(prefix), f)
}

// scanRange calls f for each key in [from, to), in order, until f says false.
// The slices belong to the iterator: f copies what it keeps.
func scanRange(r reader, from, to []byte, f func(k, v []byte) bool) error {
	if len(from) == 0 {
		from = nil // an empty bound is none; Pebble's checks in race builds trip over one
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return readError(from, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			it.Close()
			return readError(it.Key(), err)
		}
		if !f(it.Key(), v) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return readError(from, err)
	}
	return nil
}

// based is the copy of the state at the horizon: the same keys, elsewhere.
type based struct{ state }

func (b based) get(k []byte) ([]byte, bool, error) { return b.state.get(baseKey(k)) }
func (b based) set(k, v []byte)                    { b.state.set(baseKey(k), v) }
func (b based) del(k []byte)                       { b.state.del(baseKey(k)) }
func (b based) scan(prefix []byte, f func(k, v []byte) bool) error {
	return b.state.scan(baseKey(prefix), func(k, v []byte) bool {
		return f(append(bytes.Clone(k[:4]), k[5:]...), v)
	})
}
