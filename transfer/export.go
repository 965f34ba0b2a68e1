package transfer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"io"
	"slices"

	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// ExportOptions say what an export has in it. Space is needed.
type ExportOptions struct {
	Space string
	// Vectors says which are written: VectorsGiven (the default), VectorsAll or
	// VectorsNone.
	Vectors Vectors
	// Moved is told after each page: how many lines are written, and about how
	// many there are. An error ends the export.
	Moved func(lines, of int64) error
}

// Vectors says which vectors an export has in it.
type Vectors string

// The choices of Vectors.
const (
	// VectorsGiven are those that callers gave. Those that the space's model makes
	// follow from the texts, come when they come, and are made again.
	VectorsGiven Vectors = "given"
	VectorsAll   Vectors = "all"
	VectorsNone  Vectors = "none" // and the space that an import makes has its own default
)

// has says whether the vectors of a space are written.
func (v Vectors) has(s *engramv1.VectorSettings) (bool, error) {
	switch v {
	case "", VectorsGiven, VectorsAll:
		return s.GetDimension() > 0, nil
	case VectorsNone:
		return false, nil
	}
	return false, memory.Invalid("word_unknown", "vectors", "vectors is %.32q; it can be all, given, none", string(v))
}

// noModel is the model of a space without vectors, where one that says nothing
// gets the default.
const noModel = "none"

// exportPage is how many things are read at once, which is the most.
const exportPage = 1000

// Export writes a space as JSONL: a header, the entities, the memories in the
// order in which they were stored, the links, and an end with the digest. The
// memories are those that stood when the export began; entities and links are
// read behind them, as they stand then. What is suppressed or has expired is left
// out, and so are older versions.
//
// The digest is the SHA-256 over the sorted SHA-256 sums of the lines between
// header and end. It depends on what a space says, each under its id, and on
// nothing else: an export, imported into an empty space and exported again, has
// the same.
func Export(ctx context.Context, src Source, w io.Writer, o ExportOptions) (End, error) {
	e := &exporter{src: src, w: w, o: o}
	e.entities.seed, e.memories.seed = maphash.MakeSeed(), maphash.MakeSeed()
	sp, err := src.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: o.Space})
	if err != nil {
		return End{}, err
	}
	n := sp.GetCounts()
	e.links = n.GetLinks() > 0
	e.of = int64(n.GetEpisodes() + n.GetEntities() + n.GetLinks())
	settings := sp.GetSettings()
	if e.vectors, err = o.Vectors.has(settings.GetVector()); err != nil {
		return End{}, err
	}
	switch {
	case o.Vectors == VectorsNone:
		settings.Vector = nil
	case settings.GetVector().GetDimension() == 0:
		settings.Vector = &engramv1.VectorSettings{Model: noModel}
	}
	if _, err := w.Write(appendHeader(nil, &Header{Version: FormatVersion, Space: sp.GetName(), Settings: settings, LSN: sp.GetLsn()})); err != nil {
		return End{}, err
	}
	for _, step := range []func(context.Context) error{e.writeEntities, e.writeMemories, e.writeLinks} {
		if err := step(ctx); err != nil {
			return End{}, err
		}
	}
	e.end.Digest = e.digest()
	_, err = w.Write(appendEnd(nil, &e.end))
	return e.end, err
}

// An exporter is one export that runs.
type exporter struct {
	src     Source
	w       io.Writer
	o       ExportOptions
	links   bool // there are any
	vectors bool // they are written
	of      int64
	end     End
	linking []string            // memories that have links of a caller, to be read again
	sums    [][sha256.Size]byte // of the lines
	buf     []byte

	entities, memories set // that are written
}

// line takes the line that was appended to buf from a place on.
func (e *exporter) line(from int) {
	e.sums = append(e.sums, sha256.Sum256(e.buf[from:]))
	e.buf = append(e.buf, '\n')
}

// flush writes what is in buf.
func (e *exporter) flush() error {
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if err == nil && e.o.Moved != nil {
		err = e.o.Moved(int64(len(e.sums)), e.of)
	}
	return err
}

func (e *exporter) digest() string {
	slices.SortFunc(e.sums, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for i := range e.sums {
		_, _ = h.Write(e.sums[i][:]) // a hash never fails to write
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func (e *exporter) writeEntities(ctx context.Context) error {
	return e.eachEntity(ctx, func(x *engramv1.Entity) error {
		from := len(e.buf)
		e.buf = appendEntity(e.buf, x)
		e.line(from)
		e.entities.add(x.GetId())
		e.end.Entities++
		return nil
	})
}

func (e *exporter) eachEntity(ctx context.Context, each func(*engramv1.Entity) error) error {
	size := int32(exportPage)
	r := &engramv1.ListEntitiesRequest{Space: e.o.Space, PageSize: &size}
	for {
		a, err := e.src.ListEntities(ctx, r)
		if err != nil {
			return err
		}
		for _, x := range a.GetEntities() {
			if err := each(x); err != nil {
				return err
			}
		}
		if err := e.flush(); err != nil {
			return err
		}
		if r.PageToken = a.GetNextPageToken(); r.PageToken == "" {
			return nil
		}
	}
}

func (e *exporter) writeMemories(ctx context.Context) error {
	return e.eachPage(ctx, e.vectors, func(page []*engramv1.Memory) error {
		named, err := e.mentions(ctx, page)
		if err != nil {
			return err
		}
		for _, m := range page {
			in := inputOf(m)
			in.Links, in.Entities = nil, named[m.GetId()]
			if m.GetVectorMade() && e.o.Vectors == VectorsAll {
				in.Vector = m.GetVector()
			}
			from := len(e.buf)
			e.buf = appendMemory(e.buf, in)
			e.line(from)
			e.memories.add(m.GetId())
			e.end.Memories++
		}
		return nil
	})
}

// eachPage walks over the memories. The next page is read while one is written.
func (e *exporter) eachPage(ctx context.Context, vectors bool, each func([]*engramv1.Memory) error) error {
	ctx, cancel := context.WithCancel(ctx)
	type page struct {
		memories []*engramv1.Memory
		err      error
	}
	ahead := make(chan page)
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() { // ends with ctx, or behind the last page
		defer close(ended)
		defer close(ahead)
		size := int32(firstPage)
		r := &engramv1.ListMemoriesRequest{Space: e.o.Space, PageSize: &size, Kinds: []string{memory.KindEpisode.String()}}
		if vectors {
			r.Include = []string{"vector"}
		}
		for {
			a, err := e.src.ListMemories(ctx, r)
			select {
			case ahead <- page{a.GetMemories(), err}:
			case <-ctx.Done():
				return
			}
			if r.PageToken = a.GetNextPageToken(); err != nil || r.PageToken == "" {
				return
			}
			size = nextPage(size, a.GetMemories())
		}
	}()
	for p := range ahead {
		if p.err != nil {
			return p.err
		}
		if err := each(p.memories); err != nil {
			return err
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Pages are of about so many bytes: a thousand long texts would be gigabytes.
const (
	firstPage = 100
	pageBytes = 4 << 20
)

// nextPage is the size of the page behind one.
func nextPage(size int32, page []*engramv1.Memory) int32 {
	bytes := 1
	for _, m := range page {
		bytes += len(m.GetText()) + len(m.GetTitle()) + 4*len(m.GetVector()) + 256
	}
	fits := int64(len(page)) * pageBytes / int64(bytes)
	return int32(max(1, min(fits, int64(size)*4, exportPage)))
}

// mentions are the entities that the memories of a page name, by memory; on the way
// it notes which of them have links that a caller drew.
func (e *exporter) mentions(ctx context.Context, page []*engramv1.Memory) (map[string][]*engramv1.EntityRef, error) {
	if !e.links || len(page) == 0 {
		return nil, nil
	}
	named := map[string][]*engramv1.EntityRef{}
	ids := make([]string, len(page))
	for i, m := range page {
		ids[i] = m.GetId()
	}
	err := e.src.GivenLinks(ctx, e.o.Space, ids, func(l *engramv1.Link) error {
		if n := len(e.linking); l.GetRule() == memory.RuleCaller && (n == 0 || e.linking[n-1] != l.GetFrom()) {
			e.linking = append(e.linking, l.GetFrom())
		}
		if l.GetRule() == memory.RuleMentions && e.entities.has(l.GetTo()) {
			role := l.GetMetadata().GetFields()["role"].GetStringValue()
			named[l.GetFrom()] = append(named[l.GetFrom()], &engramv1.EntityRef{Id: l.GetTo(), Role: role})
		}
		return nil
	})
	for _, refs := range named {
		slices.SortFunc(refs, func(a, b *engramv1.EntityRef) int {
			return cmp.Or(cmp.Compare(a.Id, b.Id), cmp.Compare(a.Role, b.Role))
		})
	}
	return named, err
}

// A set of ids, by their hashes: it is filled first and asked then. It grows with
// the space, by eight bytes for each.
type set struct {
	seed   maphash.Seed
	hashes []uint64
	sorted bool
}

func (s *set) add(id string) { s.hashes = append(s.hashes, maphash.String(s.seed, id)) }

func (s *set) has(id string) bool {
	if !s.sorted {
		slices.Sort(s.hashes)
		s.sorted = true
	}
	_, found := slices.BinarySearch(s.hashes, maphash.String(s.seed, id))
	return found
}

// writeLinks writes the links that a caller drew, from memories and from entities;
// the others follow from what is written already. They are read a second time:
// links must come behind both their ends, and are not held meanwhile.
func (e *exporter) writeLinks(ctx context.Context) error {
	if !e.links {
		return nil
	}
	for ids := range slices.Chunk(e.linking, exportPage) {
		if err := e.linksOf(ctx, ids); err != nil {
			return err
		}
	}
	var ids []string
	err := e.eachEntity(ctx, func(x *engramv1.Entity) error {
		if ids = append(ids, x.GetId()); len(ids) < exportPage {
			return nil
		}
		defer func() { ids = ids[:0] }()
		return e.linksOf(ctx, ids)
	})
	if err != nil {
		return err
	}
	return e.linksOf(ctx, ids)
}

// linksOf writes the links that a caller drew from some nodes.
func (e *exporter) linksOf(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	err := e.src.GivenLinks(ctx, e.o.Space, ids, func(l *engramv1.Link) error {
		if l.GetRule() != memory.RuleCaller || !e.entities.has(l.GetTo()) && !e.memories.has(l.GetTo()) {
			return nil // to what is suppressed, or came later: it would not come in again
		}
		from := len(e.buf)
		e.buf = appendLink(e.buf, linkInput(l))
		e.line(from)
		e.end.Links++
		if len(e.buf) < pageBytes {
			return nil
		}
		return e.flush()
	})
	if err != nil {
		return err
	}
	return e.flush()
}
