package transfer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// ImportOptions say how an import is done. The zero value of each field means its
// default; Space is needed.
type ImportOptions struct {
	Space      string
	OnConflict string // error (the default: the item is rejected), keep or replace
	Durability string // of the writes; "" is the space's

	// Workers is how many batches are written at the same time; default 4.
	Workers int
	// BatchItems is how many items a batch has at most; default 500, at most 1,000.
	BatchItems int

	// Skip is how many items of the walk are done already; they are read and
	// dropped.
	Skip int64
	// DryRun writes nothing. Check, when it is given, says what a memory has wrong.
	DryRun bool
	Check  func(*engramv1.MemoryInput) error

	// Rejected gets each item that was refused or could not be read. Calls come
	// one at a time; an error ends the import.
	Rejected func(*Rejection) error
	// Moved is told after each batch: the sums, and how many items from the start
	// are done without a hole, which Skip may be next time. Calls come one at a
	// time; an error ends the import.
	Moved func(t Tally, done int64) error
}

// A Rejection is an item that did not come in, and why.
type Rejection struct {
	Number int64 // the item's place in the walk, from 1
	Item   *Item
	Reason *memory.Error
}

// A Tally counts what became of the items.
type Tally struct {
	Read     int64  `json:"read"`     // items but header and end
	Created  int64  `json:"created"`  // new
	Replaced int64  `json:"replaced"` // new versions
	Kept     int64  `json:"kept"`     // stood already
	Rejected int64  `json:"rejected"`
	LSN      uint64 `json:"lsn,string"` // the newest state that was written or found

	Warnings []string `json:"warnings,omitempty"`
}

// Bounds of a batch; the API takes 1,000 items and 8 MiB.
const (
	defaultWorkers = 4
	defaultBatch   = 500
	mostBatch      = 1000
	batchBytes     = 4 << 20
)

func (o ImportOptions) withDefaults() (ImportOptions, error) {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.BatchItems <= 0 {
		o.BatchItems = defaultBatch
	}
	o.BatchItems = min(o.BatchItems, mostBatch)
	_, err := memory.ParseOnConflict(o.OnConflict)
	return o, err
}

// Import writes the items of a walk to a space, and returns when the last of them
// is acknowledged.
//
// Memories of one stream go one behind the other, so that the stream keeps their
// order; others go side by side. Entities are written before the memories that
// follow them in the file, and links after. An item that is refused is told to
// Rejected and the others go on. An error ends the import: of the file, of the
// API beside the items, or of ctx. What was acknowledged stays, and the tally
// says it.
func Import(ctx context.Context, api API, items Items, o ImportOptions) (Tally, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Tally{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &importer{api: api, o: o, cancel: cancel, seed: maphash.MakeSeed(), open: map[*batch]bool{}}
	for range o.Workers {
		l := &lane{in: make(chan *batch, 1)}
		r.lanes = append(r.lanes, l)
		r.working.Go(func() { // ends when its channel is closed, below
			for b := range l.in {
				r.done(b, r.write(ctx, b))
			}
		})
	}
	err = r.read(ctx, items)
	for _, l := range r.lanes {
		close(l.in)
	}
	r.working.Wait()
	return r.finish(ctx, err)
}

// An importer is one import that runs. The goroutine of Import reads, and fills
// the lanes' batches; each lane writes its batches one behind the other.
type importer struct {
	api     API
	o       ImportOptions
	cancel  context.CancelCauseFunc
	seed    maphash.Seed
	lanes   []*lane
	working sync.WaitGroup
	next    int // the lane of the next item that has neither stream nor id of its own
	last    kind
	single  bool // all goes through the first lane
	header  *Header
	end     *End
	sums    End   // of what was read
	number  int64 // of the last item that was read

	mu    sync.Mutex // guards what follows
	tally Tally
	open  map[*batch]bool // batches that are not done
	dealt int64           // the last item that is in a batch, or done
	err   error           // the first
}

// A lane is a worker and the batch that is filled for it.
type lane struct {
	in      chan *batch
	filling *batch
}

// A kind of item; each is written by a call of its own.
type kind int

const (
	entities kind = iota + 1
	memories
	links
)

// A batch is the reader's until it is sent, and then its lane's; first does not
// change.
type batch struct {
	kind  kind
	first int64 // the number of its first item
	items []*Item
	bytes int

	settled func() // of a batch without items: called when those before it are done
}

func kindOf(i *Item) kind {
	switch {
	case i.Entity != nil:
		return entities
	case i.Link != nil:
		return links
	}
	return memories
}

// read reads the walk to its end.
func (r *importer) read(ctx context.Context, items Items) error {
	for i, err := range items {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if i.Header != nil || i.End != nil {
			if err := r.frame(ctx, i); err != nil {
				return err
			}
			continue
		}
		r.number++
		i.number = r.number
		r.count(i)
		if r.number <= r.o.Skip {
			r.taken(i.number)
			continue
		}
		if err := r.take(ctx, i); err != nil {
			return err
		}
	}
	return r.flush(ctx)
}

// count counts what the end of an export counts.
func (r *importer) count(i *Item) {
	switch {
	case i.Memory != nil:
		r.sums.Memories++
	case i.Entity != nil:
		r.sums.Entities++
	case i.Link != nil:
		r.sums.Links++
	}
}

// frame takes a header, which makes the space when it is not there, or an end.
func (r *importer) frame(ctx context.Context, i *Item) error {
	if i.End != nil {
		r.end = i.End
		return nil
	}
	r.header = i.Header
	if r.o.DryRun {
		return nil
	}
	sp, err := r.api.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: r.o.Space})
	if isKind(err, memory.KindNotFound) {
		_, err = r.api.PutSpace(ctx, &engramv1.PutSpaceRequest{Space: r.o.Space, Settings: i.Header.Settings})
		return err
	}
	if err != nil {
		return err
	}
	has, wants := sp.GetSettings().GetVector().GetDimension(), i.Header.Settings.GetVector().GetDimension()
	if wants > 0 && has != wants {
		return memory.Errorf(memory.KindConflict, "space_exists", "the file has vectors of %d numbers; space %q holds vectors of %d (0: none)", wants, r.o.Space, has).
			Hinted("import into a space that is not there yet: it is made with the settings of the file")
	}
	return nil
}

// take puts an item into the batch of its lane.
func (r *importer) take(ctx context.Context, i *Item) error {
	if i.Err != nil {
		return r.reject(i, i.Err)
	}
	i.name()
	if r.o.DryRun {
		return r.check(i)
	}
	k := kindOf(i)
	// A memory that links to others comes after those before it in the file, and
	// before those behind it, which may link to it: from the first such one on,
	// one lane does it all.
	linking := len(i.Memory.GetLinks()) > 0 && !r.single
	if k != r.last && r.last != 0 || linking {
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	r.last, r.single = k, r.single || linking
	l := r.lane(i)
	if l.filling == nil {
		l.filling = &batch{kind: k, first: i.number}
		r.opened(l.filling)
	}
	b := l.filling
	b.items, b.bytes = append(b.items, i), b.bytes+i.size
	r.taken(i.number)
	if len(b.items) < r.o.BatchItems && b.bytes < batchBytes {
		return r.old(ctx, i.number)
	}
	return r.send(ctx, l)
}

// check is all that a dry run does with an item.
func (r *importer) check(i *Item) error {
	r.taken(i.number)
	if i.Memory != nil && r.o.Check != nil {
		if err := r.o.Check(i.Memory); err != nil {
			return r.refuse(i, err)
		}
	}
	return r.add(func(t *Tally) { t.Created++ })
}

// lane chooses the lane of an item. Those of one stream share one, and what has the same
// id: the first stands, or the last replaces it, as in the file.
//
// BUG: an id that is said in two streams may come in in any order.
func (r *importer) lane(i *Item) *lane {
	if r.single {
		return r.lanes[0]
	}
	by := i.Memory.GetStream()
	if by == "" && i.made { // no other has its id
		if r.lanes[r.next].filling == nil { // the one before is full: on to the next
			r.next = (r.next + 1) % len(r.lanes)
		}
		return r.lanes[r.next]
	}
	for _, id := range []string{i.Memory.GetId(), i.Entity.GetId(), i.Link.GetId()} {
		if by == "" {
			by = id
		}
	}
	return r.lanes[int(maphash.String(r.seed, by)%uint64(len(r.lanes)))]
}

// oldest bounds how far the first item of a batch that still fills may be behind:
// a stream that comes seldom must not hold the place to resume at.
const oldest = 16 * mostBatch

func (r *importer) old(ctx context.Context, number int64) error {
	for _, l := range r.lanes {
		if l.filling != nil && number-l.filling.first > oldest {
			if err := r.send(ctx, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// send hands the batch of a lane over; it waits while the lane is busy, which is
// how a slow API slows the reading.
func (r *importer) send(ctx context.Context, l *lane) error {
	b := l.filling
	if b == nil {
		return nil
	}
	select {
	case l.in <- b:
		l.filling = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *importer) flush(ctx context.Context) error {
	for _, l := range r.lanes {
		if err := r.send(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until all that was taken is written.
func (r *importer) settle(ctx context.Context) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	var idle sync.WaitGroup
	for _, l := range r.lanes {
		idle.Add(1)
		select {
		case l.in <- &batch{settled: idle.Done}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	idle.Wait()
	return ctx.Err()
}

// write writes a batch; what it gives is an error of the whole.
func (r *importer) write(ctx context.Context, b *batch) error {
	if b.settled != nil {
		b.settled()
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	switch b.kind {
	case entities:
		return r.putEntities(ctx, b.items)
	case memories:
		return r.remember(ctx, b.items)
	}
	return r.link(ctx, b.items)
}

// noWait is what the batches of an import wait for: vectors follow, however many
// there are to make; the tail of the space's vector index says how many.
var noWait = []string{"none"}

func (r *importer) remember(ctx context.Context, items []*Item) error {
	q := &engramv1.RememberBatchRequest{Space: r.o.Space, Partial: true, OnConflict: r.o.OnConflict, Durability: r.o.Durability, Wait: noWait}
	for _, i := range items {
		q.Memories = append(q.Memories, i.Memory)
	}
	a, err := r.api.RememberBatch(ctx, q)
	if err != nil {
		return r.halve(ctx, items, err, r.remember)
	}
	for n, x := range a.GetResults() {
		if err := r.result(items[n], x.GetOutcome(), x.GetLsn(), x.GetError()); err != nil {
			return err
		}
	}
	return nil
}

func (r *importer) link(ctx context.Context, items []*Item) error {
	q := &engramv1.CreateLinksRequest{Space: r.o.Space, Partial: true, OnConflict: r.o.OnConflict, Durability: r.o.Durability}
	for _, i := range items {
		q.Links = append(q.Links, i.Link)
	}
	a, err := r.api.CreateLinks(ctx, q)
	if err != nil {
		return r.halve(ctx, items, err, r.link)
	}
	for n, x := range a.GetResults() {
		if err := r.result(items[n], x.GetOutcome(), x.GetLsn(), x.GetError()); err != nil {
			return err
		}
	}
	return nil
}

// entityWriters is how many entities of a batch are written at the same time. The
// API has no batch of them; what waits together for the disk is synced together.
const entityWriters = 32

// putEntities writes entities side by side, but those of one id in their order.
func (r *importer) putEntities(ctx context.Context, items []*Item) error {
	var (
		writers sync.WaitGroup
		parts   = make([][]*Item, min(entityWriters, len(items)))
		errs    = make([]error, len(parts))
	)
	for _, i := range items {
		n := int(maphash.String(r.seed, i.Entity.GetId()) % uint64(len(parts)))
		parts[n] = append(parts[n], i)
	}
	for n, part := range parts {
		writers.Go(func() { errs[n] = r.putInOrder(ctx, part) })
	}
	writers.Wait()
	return errors.Join(errs...)
}

func (r *importer) putInOrder(ctx context.Context, items []*Item) error {
	for _, i := range items {
		outcome, lsn, err := r.putEntity(ctx, i.Entity)
		if err != nil && !isItems(err) {
			return err
		}
		if err != nil {
			err = r.refuse(i, err)
		} else {
			err = r.result(i, outcome, lsn, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putEntity writes one. The API replaces what stands, so that is looked at first
// unless it is asked for.
func (r *importer) putEntity(ctx context.Context, e *engramv1.Entity) (outcome string, lsn uint64, err error) {
	in := entityInput(e)
	if r.o.OnConflict != "replace" {
		old, err := r.api.GetEntity(ctx, &engramv1.GetEntityRequest{Space: r.o.Space, Id: e.GetId()})
		switch {
		case isKind(err, memory.KindNotFound):
		case err != nil:
			return "", 0, err
		case r.o.OnConflict == "keep" || sameEntity(old, e):
			return "kept", old.GetLsn(), nil
		default:
			return "", 0, memory.Errorf(memory.KindConflict, "id_conflict", "entity %q stands with other content (version %d)", e.GetId(), old.GetVersion())
		}
	}
	a, err := r.api.PutEntity(ctx, &engramv1.PutEntityRequest{Space: r.o.Space, Id: e.GetId(), Entity: in, Durability: r.o.Durability})
	return a.GetOutcome(), a.GetLsn(), err
}

func sameEntity(a, b *engramv1.Entity) bool {
	return string(appendEntity(nil, a)) == string(appendEntity(nil, b))
}

// halve finds the items for which a batch was refused as a whole, as one is that
// is too large: it writes the halves, and rejects what is refused alone.
func (r *importer) halve(ctx context.Context, items []*Item, err error, write func(context.Context, []*Item) error) error {
	switch {
	case !isItems(err):
		return err
	case len(items) == 1:
		return r.refuse(items[0], err)
	}
	middle := len(items) / 2
	if err := write(ctx, items[:middle]); err != nil {
		return err
	}
	return write(ctx, items[middle:])
}

// isItems says whether an error is about what was sent, and not about the space,
// the server or the time.
func isItems(err error) bool {
	var e *memory.Error
	if !errors.As(err, &e) {
		return false
	}
	return slices.Contains([]memory.ErrorKind{memory.KindInvalid, memory.KindTooLarge, memory.KindConflict}, e.Kind) &&
		!slices.Contains([]string{"on_conflict", "durability", "space"}, e.Field)
}

func isKind(err error, k memory.ErrorKind) bool {
	var e *memory.Error
	return errors.As(err, &e) && e.Kind == k
}

// result counts what became of an item.
func (r *importer) result(i *Item, outcome string, lsn uint64, failure *engramv1.Error) error {
	if failure != nil {
		return r.refuse(i, &memory.Error{Kind: memory.ErrorKind(failure.GetKind()), Code: failure.GetCode(), Message: failure.GetMessage(),
			Field: failure.GetField(), Hint: failure.GetHint(), Op: failure.GetOp(), Retriable: failure.GetRetriable()})
	}
	return r.add(func(t *Tally) {
		switch outcome {
		case "kept":
			t.Kept++
		case "replaced":
			t.Replaced++
		default:
			t.Created++
		}
		t.LSN = max(t.LSN, lsn)
	})
}

// reject tells of an item that is not in any batch.
func (r *importer) reject(i *Item, why error) error {
	r.taken(i.number)
	return r.refuse(i, why)
}

// refuse tells of an item that does not come in.
func (r *importer) refuse(i *Item, why error) error {
	e, _ := reasonOf(why).(*memory.Error)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.Rejected++
	if r.o.Rejected == nil {
		return nil
	}
	return r.o.Rejected(&Rejection{Number: i.number, Item: i, Reason: e})
}

func (r *importer) add(change func(*Tally)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.tally)
	if r.o.DryRun && r.tally.Created%defaultBatch == 0 {
		return r.movedLocked()
	}
	return nil
}

func (r *importer) opened(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[b] = true
}

// taken says that an item is in a batch, or done.
func (r *importer) taken(number int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.Read, r.dealt = number, number
}

// done says that a batch is written, or why not; then the import ends.
func (r *importer) done(b *batch, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.open, b) // one that failed stays: the place to resume at is before it
		if b.settled == nil {
			err = r.movedLocked()
		}
	}
	if err != nil && r.err == nil {
		r.err = err
		r.cancel(err)
	}
}

func (r *importer) movedLocked() error {
	if r.o.Moved == nil || r.err != nil {
		return nil
	}
	return r.o.Moved(r.tally, r.withoutHoleLocked())
}

// withoutHoleLocked is how many items from the start are done, with none between
// that is not.
func (r *importer) withoutHoleLocked() int64 {
	n := r.dealt
	for b := range r.open {
		n = min(n, b.first-1)
	}
	return n
}

// finish says how it ended.
func (r *importer) finish(ctx context.Context, err error) (Tally, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		err = r.err
	}
	if err != nil {
		if isContext(err) && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return r.tally, err
	}
	switch {
	case r.header != nil && r.end == nil:
		r.tally.Warnings = append(r.tally.Warnings, "the file has a header and no end: it may be cut off")
	case r.end != nil && (r.end.Memories != r.sums.Memories || r.end.Entities != r.sums.Entities || r.end.Links != r.sums.Links):
		r.tally.Warnings = append(r.tally.Warnings, fmt.Sprintf("the file says that it has %d memories, %d entities and %d links, and has %d, %d and %d",
			r.end.Memories, r.end.Entities, r.end.Links, r.sums.Memories, r.sums.Entities, r.sums.Links))
	}
	if r.o.Moved != nil {
		err = r.o.Moved(r.tally, r.withoutHoleLocked())
	}
	return r.tally, err
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
