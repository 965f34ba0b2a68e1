package engram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/tensors"
	"github.com/engramdb/engram/memory"
)

// The weights of local models lie in DIR/models, each in a file that is named by
// its digest (docs/format/model.md). A file is written under another name, synced,
// read from end to end, and renamed, before the record that makes it a model is
// committed; what no record names is removed at Open. So a crash leaves a model
// whole or not at all. A file is mapped, not read: it takes memory as it is used.

const (
	modelFileEnd = ".engramt"
	modelTempEnd = ".tmp"
)

func (db *DB) modelDir() string { return db.opts.FS.PathJoin(db.dir, "models") }

func (db *DB) modelPath(digest string) string {
	return db.opts.FS.PathJoin(db.modelDir(), digest+modelFileEnd)
}

// AddModel makes a local model known under a name: r gives its file, as bert.Convert
// writes it. Nothing of it stays when it is not whole or cannot be run. added is
// false when it stands already. Errors: model_exists (conflict) when the name is
// that of another; model_file_invalid, model_unsupported (invalid);
// model_too_large; too_many_models; disk_full.
func (db *DB) AddModel(ctx context.Context, name string, r io.Reader) (info ModelInfo, added bool, err error) {
	const op = "add_model"
	if err := memory.CheckModelName("name", name); err != nil {
		return info, false, memory.InOp(op, err)
	}
	if db.opts.ReadOnly {
		return info, false, memory.InOp(op, memory.Errorf(memory.KindPrecondition, "read_only", "the database is open for reading alone"))
	}
	db.models.changing.Lock()
	defer db.models.changing.Unlock()
	defer func() {
		if err != nil {
			db.sweepModelFiles()
		}
	}()
	temp := db.opts.FS.PathJoin(db.modelDir(), string(memory.NewID())+modelTempEnd)
	size, err := db.receiveModel(ctx, temp, r)
	if err != nil {
		return info, false, memory.InOp(op, err)
	}
	record, err := db.tryModel(ctx, temp)
	if err != nil {
		return info, false, memory.InOp(op, refusedModel(err))
	}
	record.Bytes = size
	if err := db.placeModel(temp, record.Digest); err != nil {
		return info, false, memory.InOp(op, err)
	}
	return db.addModel(ctx, op, name, record)
}

// receiveModel writes and syncs a file.
func (db *DB) receiveModel(ctx context.Context, path string, r io.Reader) (size int64, err error) {
	fs := db.opts.FS
	if err := fs.MkdirAll(db.modelDir(), 0o700); err != nil {
		return 0, fmt.Errorf("make the directory of models: %w", err)
	}
	if err := db.roomOnDisk(); err != nil {
		return 0, err
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, fmt.Errorf("write a model: %w", err)
	}
	size, err = io.Copy(f, &modelReader{ctx, db, r, MaxModelBytes})
	return size, errors.Join(err, f.Sync(), f.Close())
}

// modelReader bounds what is read of a model's file, and ends when it must.
type modelReader struct {
	ctx  context.Context
	db   *DB
	r    io.Reader
	left int64
}

func (m *modelReader) Read(p []byte) (int, error) {
	if err := errors.Join(m.ctx.Err(), m.db.Ready(), m.db.roomOnDisk()); err != nil {
		return 0, err
	}
	if m.left <= 0 {
		return 0, memory.Errorf(memory.KindTooLarge, "model_too_large", "the model's file has more than %d bytes", int64(MaxModelBytes))
	}
	n, err := m.r.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// roomOnDisk refuses below the reserve that writes are refused at.
func (db *DB) roomOnDisk() error {
	st := db.shard.Stats()
	if st.ReserveBytes > 0 && st.DiskFree > 0 && st.DiskFree < st.ReserveBytes {
		return memory.Errorf(memory.KindDiskFull, "disk_full", "%d bytes are free on the disk, below the reserve of %d", st.DiskFree, st.ReserveBytes).Hinted("make room")
	}
	return nil
}

// tryModel reads a file from end to end, checks all its digests and embeds a text
// with it.
func (db *DB) tryModel(ctx context.Context, path string) (*modelRecord, error) {
	m, err := db.mapModel(path)
	if err != nil {
		return nil, err
	}
	i := m.Info()
	if bad := func(s string) bool {
		return s == "" || len(s) > 128 || strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	}; bad(i.Name) || bad(i.Version) || len(m.Source())+len(m.Licence()) > 1024 {
		return nil, fmt.Errorf("%w: its name, version, source or licence is too long, or has characters that do not print", embed.ErrUnsupported)
	}
	if i.Dimension < memory.MinDimension || i.Dimension > memory.MaxDimension {
		return nil, fmt.Errorf("%w: vectors of %d numbers", embed.ErrUnsupported, i.Dimension)
	}
	made, err := m.Embed(ctx, []string{"a memory"})
	if err != nil {
		return nil, err
	}
	trial := memory.VectorSettings{Dimension: i.Dimension, Metric: memory.MetricCosine}
	if err := memory.CheckVectorFor("vector", made[0], "trial", trial); err != nil {
		return nil, fmt.Errorf("%w: it makes what is no vector: %w", embed.ErrDamaged, err)
	}
	r := recordOf(ModelLocal, i)
	r.Source, r.Licence = m.Source(), m.Licence()
	return r, nil
}

// refusedModel says to who sent a file what is wrong with it.
func refusedModel(err error) error {
	code := "model_file_invalid"
	if errors.Is(err, embed.ErrUnsupported) {
		code = "model_unsupported"
	} else if !errors.Is(err, embed.ErrDamaged) {
		return err
	}
	e := memory.Invalid(code, "file", "file: %v", err)
	e.Cause = err
	return e.Hinted("make the file with engram model add DIR")
}

// placeModel gives a file the name that it is found by, so that it outlives a power
// cut.
func (db *DB) placeModel(temp, digest string) error {
	fs := db.opts.FS
	if err := fs.Rename(temp, db.modelPath(digest)); err != nil {
		return fmt.Errorf("name a model: %w", err)
	}
	d, err := fs.OpenDir(db.modelDir())
	if err != nil {
		return fmt.Errorf("sync the directory of models: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// openModelFile opens the model of a digest. The file's header is checked, and by it
// that it is the one; the rest at the first use.
func (db *DB) openModelFile(digest string) (embed.Model, error) {
	m, err := db.mapModel(db.modelPath(digest))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: its file is missing: %w", embed.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if m.Info().Digest != digest {
		return nil, fmt.Errorf("%w: the file is another model's, of the digest %.16s", embed.ErrDamaged, m.Info().Digest)
	}
	return m, nil
}

// mappedModel is a model over a mapped file, which is unmapped when nobody can
// use the model any more.
type mappedModel struct {
	*bert.Model
}

func (m *mappedModel) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	defer runtime.KeepAlive(m)
	return m.Model.Embed(ctx, texts)
}

// EmbedCues makes it an embed.CueModel.
func (m *mappedModel) EmbedCues(ctx context.Context, cues []string) ([][]float32, error) {
	defer runtime.KeepAlive(m)
	return m.Model.EmbedCues(ctx, cues)
}

// mapModel maps a file, or reads it where the file system cannot map.
func (db *DB) mapModel(path string) (*mappedModel, error) {
	f, err := db.opts.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxModelBytes || info.Size() == 0 {
		return nil, fmt.Errorf("%w: a file of %d bytes", embed.ErrDamaged, info.Size())
	}
	var b []byte
	var unmap func()
	if fd := f.Fd(); fd != vfs.InvalidFd {
		b, unmap, _ = tensors.Map(fd, int(info.Size())) // else it is read
	}
	if b == nil {
		unmap = func() {}
		if b, err = io.ReadAll(f); err != nil {
			return nil, err
		}
	}
	m, err := bert.Read(b, bert.Options{})
	if err != nil {
		unmap()
		return nil, err
	}
	mapped := &mappedModel{m}
	runtime.AddCleanup(mapped, func(unmap func()) { unmap() }, unmap)
	return mapped, nil
}

// sweepModelFiles removes the files that no model has: of one that was removed, or
// not added to its end. The caller holds changing, or is Open.
func (db *DB) sweepModelFiles() {
	names, err := db.opts.FS.List(db.modelDir())
	if err != nil {
		return // there is none
	}
	db.models.Lock()
	keep := map[string]bool{}
	for _, r := range db.models.added {
		keep[r.Digest+modelFileEnd] = true
	}
	db.models.Unlock()
	for _, n := range names {
		if keep[n] || !strings.HasSuffix(n, modelFileEnd) && !strings.HasSuffix(n, modelTempEnd) {
			continue
		}
		if err := db.opts.FS.Remove(db.opts.FS.PathJoin(db.modelDir(), n)); err != nil {
			db.opts.Logger.Warn("a file that is no model's stays", "file", n, "error", err)
		}
	}
}
