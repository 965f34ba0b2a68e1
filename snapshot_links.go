package engram

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/graph"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/store"
)

// The links of a space have a snapshot of their own, DIR/index/links.SPACE.LSN, beside
// that of its words (docs/format/snapshot.md): the graph as it stood after a record. It
// holds no word of any memory. What came after it is read from the journal; where that
// does not say enough, all links are read from the state.

var linksMagic = [8]byte{'E', 'N', 'G', 'R', 'A', 'M', 'L', 1}

// errLinksUnclear says that the journal alone does not tell what became of the links.
var errLinksUnclear = errors.New("the journal does not say where an ended link stood")

func linksPrefix(id memory.SpaceID) string { return fmt.Sprintf("links.%d.", id) }

// saveLinks writes the graph, whole or not at all, and removes older ones. The caller
// holds saving.
func (t *tower) saveLinks() error {
	if t.assoc == nil {
		return nil
	}
	var b bytes.Buffer
	t.mu.RLock()
	lsn := t.applied
	head := append([]byte(nil), linksMagic[:]...)
	head = binary.LittleEndian.AppendUint32(head, uint32(t.space.id))
	head = binary.LittleEndian.AppendUint64(head, uint64(lsn))
	b.Write(binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)))
	err := t.assoc.links.Save(&b)
	t.mu.RUnlock()
	if err != nil || t.space.dropped.Load() {
		return err
	}
	fs, dir := t.space.db.opts.FS, t.space.db.indexDir()
	name := fmt.Sprintf("%s%020d", linksPrefix(t.space.id), lsn)
	if err := writeFile(fs, fs.PathJoin(dir, name), b.Bytes()); err != nil {
		return err
	}
	return t.space.db.removeLinks(t.space.id, name)
}

// removeLinks removes the snapshots of the links of a space but one.
func (db *DB) removeLinks(id memory.SpaceID, but string) error {
	names, err := db.linksFiles(id)
	for _, n := range names {
		if n != but && err == nil {
			err = db.opts.FS.Remove(db.opts.FS.PathJoin(db.indexDir(), n))
		}
	}
	if err != nil {
		return fmt.Errorf("remove snapshot of links: %w", err)
	}
	return nil
}

// linksFiles lists them, the newest last.
func (db *DB) linksFiles(id memory.SpaceID) ([]string, error) {
	names, err := db.opts.FS.List(db.indexDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, linksPrefix(id)) })
	slices.Sort(names)
	return names, err
}

// openLinks gives the graph as it stands in a view: from the newest snapshot and the
// journal behind it, else from the state.
func (t *tower) openLinks(ctx context.Context, v *store.View, a *associations) error {
	err := t.loadLinks(ctx, v, a)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	t.space.db.opts.Logger.Info("links are read from the state", "space", t.space.name, "reason", err)
	a.links = graph.New()
	return v.Links(t.space.id, func(l *store.Link) (bool, error) {
		a.link(l)
		return true, ctx.Err()
	})
}

func (t *tower) loadLinks(ctx context.Context, v *store.View, a *associations) error {
	names, err := t.space.db.linksFiles(t.space.id)
	if err != nil || len(names) == 0 {
		return errors.Join(err, errors.New("there is no snapshot"))
	}
	lsn, err := t.readLinks(names[len(names)-1], a)
	if err != nil {
		return err
	}
	m, err := v.Meta(t.space.id)
	if err != nil {
		return err
	}
	if lsn > m.LSN {
		return errors.New("the snapshot is ahead of the journal")
	}
	if uint64(m.LSN-lsn) > m.Counts.Links {
		return errors.New("the journal behind the snapshot is longer than the links")
	}
	f := linkFollower{a: a, v: v, space: t.space.id, put: make(map[memory.ID]*store.Link)}
	err = v.Records(t.space.id, lsn, func(r *store.Record) (bool, error) {
		return true, errors.Join(ctx.Err(), f.follow(r))
	})
	if err == nil && a.links.Stats().Links != int(m.Counts.Links) {
		err = fmt.Errorf("there are %d links, and %d should be", a.links.Stats().Links, m.Counts.Links)
	}
	return err
}

func (t *tower) readLinks(name string, a *associations) (memory.LSN, error) {
	fs := t.space.db.opts.FS
	file, err := fs.Open(fs.PathJoin(t.space.db.indexDir(), name), vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	head := make([]byte, 8+4+8+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, errSnapshot
	}
	if !bytes.Equal(head[:8], linksMagic[:]) || binary.LittleEndian.Uint32(head[8:]) != uint32(t.space.id) ||
		binary.LittleEndian.Uint32(head[20:]) != crc32.Checksum(head[:20], castagnoli) {
		return 0, errSnapshot
	}
	a.links, err = graph.Load(r)
	return memory.LSN(binary.LittleEndian.Uint64(head[12:])), err
}

// linkFollower follows the links through the journal alone, whose records say of a link
// that ends only its id.
type linkFollower struct {
	a     *associations
	v     *store.View
	space memory.SpaceID
	put   map[memory.ID]*store.Link // that the journal has made
	ended []memory.ID               // in this commit, and it is not known where they stood
	looks int
}

func (f *linkFollower) follow(r *store.Record) error {
	switch r.Kind {
	case store.LinkPut:
		f.a.link(r.Link)
		f.put[r.Link.ID] = r.Link
	case store.LinksEnded:
		for _, id := range r.Links {
			if !f.end(id) {
				f.ended = append(f.ended, id)
			}
		}
	case store.NodesEnded:
		if r.Nodes.Mode != memory.Suppress {
			return f.endNodes(r.Nodes.Ordinals)
		}
	case store.LinksMoved:
		return f.move(r.Moved.Links)
	}
	if r.Index+1 == r.Size && len(f.ended) > 0 {
		return f.search()
	}
	return nil
}

// end takes a link out whose ends are known: by the record that made it, or by its id.
func (f *linkFollower) end(id memory.ID) bool {
	if l := f.put[id]; l != nil {
		delete(f.put, id)
		return f.a.links.End(graph.Link{From: l.From, To: l.To, Type: l.Type, Tag: graph.TagOf(id)})
	}
	from, to, ok := endsOf(id)
	if !ok {
		return false
	}
	for _, t := range f.a.links.Types() {
		if f.a.links.End(graph.Link{From: from, To: to, Type: t, Tag: graph.TagOf(id)}) {
			return true
		}
	}
	return false
}

// endsOf reads the ends of a link from the id that a rule gave it. A merge may have
// moved it since.
func endsOf(id memory.ID) (from, to memory.Ordinal, ok bool) {
	part := strings.Split(string(id), madeIDs)
	if afterMade(id) == "" || len(part) != 4 {
		return 0, 0, false
	}
	_, err := fmt.Sscan(part[2], &from)
	_, err2 := fmt.Sscan(part[3], &to)
	return from, to, errors.Join(err, err2) == nil
}

// endNodes takes nodes out. The links that are left at them are those whose end was
// not known: there must be as many.
func (f *linkFollower) endNodes(nodes []memory.Ordinal) error {
	n := 0
	for _, o := range nodes {
		n += f.a.links.EndNode(o)
	}
	if n > len(f.ended) {
		return errLinksUnclear
	}
	if n == len(f.ended) {
		f.ended = nil
	}
	return nil
}

// looksMost bounds how often all links are looked through for some that have ended.
const looksMost = 200

// search looks for links by their tags, which are theirs alone in nearly all spaces.
func (f *linkFollower) search() error {
	found, err := f.find(f.ended)
	if err != nil {
		return err
	}
	for _, l := range found {
		f.a.links.End(l)
	}
	f.ended = nil
	return nil
}

func (f *linkFollower) find(ids []memory.ID) ([]graph.Link, error) {
	if f.looks++; f.looks > looksMost {
		return nil, errLinksUnclear
	}
	tags := make(map[uint32]bool, len(ids))
	for _, id := range ids {
		tags[graph.TagOf(id)] = true
	}
	var found []graph.Link
	f.a.links.Find(tags, func(l graph.Link) bool {
		found = append(found, l)
		return len(found) <= len(ids)
	})
	if len(found) != len(ids) || len(tags) != len(ids) {
		return nil, errLinksUnclear
	}
	return found, nil
}

// move gives links other ends.
func (f *linkFollower) move(moved []store.MovedLink) error {
	ids := make([]memory.ID, len(moved))
	to := make(map[uint32]*store.MovedLink, len(moved))
	for i := range moved {
		ids[i] = moved[i].ID
		to[graph.TagOf(moved[i].ID)] = &moved[i]
	}
	found, err := f.find(ids)
	if err != nil {
		return err
	}
	for _, l := range found {
		f.a.links.End(l)
		m := to[l.Tag]
		if put := f.put[m.ID]; put != nil {
			is := *put
			is.From, is.To = m.From, m.To
			f.put[m.ID] = &is
		}
		l.From, l.To = m.From, m.To
		if err := f.a.links.Put(l); err != nil {
			return err
		}
	}
	return nil
}
