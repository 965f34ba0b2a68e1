package facet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/engramdb/engram/internal/saved"
	"github.com/engramdb/engram/memory"
)

// varied is an index with something of everything.
func varied(n int) *Index {
	r := rand.New(rand.NewPCG(11, 12))
	x := New()
	for i := range n {
		e := synthetic(r, i)
		e.Kind = memory.Kind(1 + i%3)
		e.Place.Name = fmt.Sprintf("Place %d", i%7)
		e.Metadata["flag"] = i%2 == 0
		e.Metadata["list"] = []any{"x", float64(i), true}
		if i%5 == 0 {
			e.Happened.To = e.Happened.From.Add(time.Hour)
			expires := e.Stored.Add(time.Hour)
			e.Expires = &expires
		}
		if i%4 == 0 && i > 0 {
			e.Ordinal, e.Version = memory.Ordinal(i/2), 2
		}
		x.Put(e)
	}
	x.Suppress(3, true, memory.LSN(n+1))
	x.End(5, memory.LSN(n+2))
	x.Purge(memory.LSN(n / 2))
	return x
}

func TestEveryBitFlipIsFound(t *testing.T) {
	saved := save(t, varied(40))
	for i := 0; i < len(saved); i += brief(1, 7) {
		for bit := range 8 {
			damaged := bytes.Clone(saved)
			damaged[i] ^= 1 << bit
			if _, err := Load(bytes.NewReader(damaged)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d bit %d flipped: %v", i, bit, err)
			}
		}
	}
}

func TestEveryCutIsFound(t *testing.T) {
	saved := save(t, varied(300))
	for n := 0; n < len(saved); n += brief(1, 7) {
		if _, err := Load(bytes.NewReader(saved[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d: %v", n, len(saved), err)
		}
	}
}

// Frames that are each whole, but left out, doubled or swapped, are found too.
func TestFramesBelongTogether(t *testing.T) {
	saved := save(t, varied(3000))
	frames := framesOf(saved)
	if len(frames) < 6 {
		t.Fatalf("only %d frames", len(frames))
	}
	join := func(list ...[][]byte) []byte {
		return append([]byte(saveMagic), slices.Concat(slices.Concat(list...)...)...)
	}
	last := len(frames) - 1
	for name, b := range map[string][]byte{
		"left out": join(frames[:last-1], frames[last:]),
		"doubled":  join(frames[:last], frames[last-1:]),
		"swapped":  join(frames[:last-2], [][]byte{frames[last-1], frames[last-2]}, frames[last:]),
		"no head":  join(frames[1:]),
	} {
		if _, err := Load(bytes.NewReader(b)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(bytes.NewReader(join(frames))); err != nil {
		t.Errorf("joined as they were: %v", err)
	}
}

func framesOf(saved []byte) (frames [][]byte) {
	for rest := saved[len(saveMagic):]; len(rest) >= 4; {
		n := 4 + int(binary.LittleEndian.Uint32(rest)) + 4
		if n < 0 || n > len(rest) {
			return frames
		}
		frames = append(frames, rest[:n])
		rest = rest[n:]
	}
	return frames
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// resealed gives the frames checksums that fit, as one who means harm would.
func resealed(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < len(saveMagic) {
		return b
	}
	crc := crc32.Update(0, castagnoli, b[:len(saveMagic)])
	for _, f := range framesOf(b) {
		crc = crc32.Update(crc, castagnoli, f[:len(f)-4])
		binary.LittleEndian.PutUint32(f[len(f)-4:], crc)
	}
	return b
}

func TestLaterVersion(t *testing.T) {
	saved := save(t, varied(3))
	saved[len(saveMagic)+4+1] = saveVersion + 1
	if _, err := Load(bytes.NewReader(resealed(saved))); !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func TestErrorsOfTheDisk(t *testing.T) {
	x := varied(500)
	saved := save(t, x)
	broken := errors.New("broken")
	if _, err := Load(io.MultiReader(bytes.NewReader(saved[:100]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, ErrCorrupt) {
		t.Errorf("Load from a broken disk: %v", err)
	}
	for n := range 8 {
		if err := x.Save(&fullDisk{left: n * 1000, err: broken}); !errors.Is(err, broken) {
			t.Errorf("Save to a disk of %d bytes: %v", n*1000, err)
		}
	}
}

type fullDisk struct {
	left int
	err  error
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, d.err
	}
	return len(b), nil
}

func TestSaveIsTheSameEachTime(t *testing.T) {
	if !bytes.Equal(save(t, varied(200)), save(t, varied(200))) {
		t.Error("the same writes are saved as other bytes")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(save(f, New()))
	f.Add(save(f, varied(1)))
	f.Add(save(f, varied(12)))
	f.Add([]byte(saveMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resealed(b)} {
			if announcesMuch(b) {
				return
			}
			x, err := Load(bytes.NewReader(b))
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Fatalf("Load: %v", err)
				}
				continue
			}
			use(t, x)
		}
	})
}

// announcesMuch says whether a head is whole and tells of so many slots that a
// true index would take much memory too.
func announcesMuch(b []byte) bool {
	l := loader{Reader: saved.NewReader(bytes.NewReader(b), frameMost), index: New()}
	return l.readHead() == nil && (l.head.next > 1<<18 || l.head.ordinals > 1<<18)
}

// use does one of each thing with an index: none may panic, whatever was loaded.
func use(t *testing.T, x *Index) {
	for _, c := range filters {
		set, _ := x.Select(&c.f, x.Newest(), epoch)
		x.Select(&c.f, x.Newest()/2, epoch)
		for _, order := range []Order{ByStored, ByHappened, ByTime} {
			x.Page(set, order, false, Position{}, 10)
		}
	}
	x.Suppress(1, true, x.Newest())
	x.Erase(2)
	x.End(3, x.Newest()+1)
	x.Purge(x.Newest() / 2)
	if x.Next() < noSlot {
		x.Put(Entry{Slot: x.Next(), Ordinal: 1, Kind: memory.KindEpisode, Born: x.Newest(), Tags: []string{"tag-0"},
			Metadata: memory.Metadata{"rating": 1.0, "source": "source-1", "list": []any{true}}})
	}
	x.Purge(x.Newest() + 1)
	var b bytes.Buffer
	if err := x.Save(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(&b); err != nil {
		t.Fatalf("Load of what a loaded index saved: %v", err)
	}
}

func TestEraseLeavesNoTrace(t *testing.T) {
	secrets := []string{"secret-tag", "secret-person", "secret-stream", "SECRET-PLACE", "secret-key", "secret-value", "secret-entry", "secret-old"}
	x := varied(2000)
	before := save(t, x)
	expires := epoch
	e := Entry{
		Slot: x.Next(), Ordinal: 9001, Version: 1, Kind: memory.KindEpisode, Born: x.Newest() + 1, Stored: epoch, Expires: &expires,
		Tags: []string{"secret-old", "tag-0"},
	}
	x.Put(e)
	e.Slot, e.Version, e.Born = x.Next(), 2, x.Newest()+1
	e.Tags, e.People, e.Stream, e.Place = []string{"secret-tag", "tag-0"}, []string{"secret-person"}, "secret-stream", &memory.Place{Name: "secret-place"}
	e.Metadata = memory.Metadata{"secret-key": "secret-value", "source": []any{"secret-entry", 4711.5}, "rating": 0.123456789}
	x.Put(e)
	with := save(t, x)
	for _, secret := range secrets {
		if !bytes.Contains(with, []byte(secret)) {
			t.Fatalf("%s is not saved at all", secret)
		}
	}
	if slots := x.Erase(9001); len(slots) != 2 {
		t.Fatalf("Erase gave %v", slots)
	}
	after := save(t, x)
	for _, secret := range secrets {
		if bytes.Contains(after, []byte(secret)) {
			t.Errorf("%s is saved after Erase", secret)
		}
	}
	if len(after) > len(before)+8 { // next and newest may take more bytes
		t.Errorf("%d bytes saved after Erase, %d before the entry", len(after), len(before))
	}
	x.dict.checkNoSecret(t)
	for _, b := range x.blocks {
		if b != nil && b.holds(int(e.Slot%blockSlots)) && b.ord[e.Slot%blockSlots] == 9001 {
			t.Error("the row still stands")
		}
	}
}

func (d *dictionary) checkNoSecret(t *testing.T) {
	look := func(where, s string) {
		if strings.Contains(strings.ToLower(s), "secret") {
			t.Errorf("%s is in memory: %s", s, where)
		}
	}
	for _, chunk := range d.chunks {
		for _, tm := range chunk[:cap(chunk)] {
			look("terms", tm.text)
		}
	}
	for _, m := range d.words {
		for s := range m {
			look("words", s)
		}
	}
	for _, k := range d.keys {
		for s := range k.strings {
			look("strings", s)
		}
		for _, run := range k.ordered.runs[:cap(k.ordered.runs)] {
			for _, item := range run[:cap(run)] {
				look("ordered", item.key)
			}
		}
		for _, v := range append(slices.Clone(k.alone.vals[:cap(k.alone.vals)]), k.listed.vals[:cap(k.listed.vals)]...) {
			if v == 4711.5 || v == 0.123456789 {
				t.Errorf("number %v is in memory", v)
			}
		}
	}
}

// brief is how much of something a test does: whole, or less of the same with
// -short, as the race detector runs it.
func brief(whole, short int) int {
	if testing.Short() {
		return short
	}
	return whole
}
