package facet

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// posting is a set of slots. One slot lies in place, a few in a sorted list,
// many in a roaring bitmap: most words of a space are on few memories, and an
// empty roaring bitmap is already 200 bytes.
type posting struct {
	n    uint32 // how many slots
	last uint32 // the greatest slot; the only one when n is 1
	few  []uint32
	many *roaring.Bitmap
}

// fewMost is from how many slots on a bitmap is taken; a bitmap becomes a list
// again at a quarter of it, so that one slot more or less is not a conversion.
const fewMost = 64

// add puts in a slot that is greater than all before, and says whether it was
// new: the last one again is none.
func (p *posting) add(slot uint32) bool {
	if p.n > 0 && p.last == slot {
		return false
	}
	switch {
	case p.many != nil:
		p.many.Add(slot)
	case p.n == 0:
	case p.n == 1:
		p.few = append(make([]uint32, 0, 2), p.last, slot)
	case p.n < fewMost:
		p.few = append(p.few, slot)
	default:
		p.many = roaring.BitmapOf(p.few...)
		p.many.Add(slot)
		p.few = nil
	}
	p.n++
	p.last = slot
	return true
}

// remove takes out a slot that is in.
func (p *posting) remove(slot uint32) {
	p.n--
	if p.many != nil {
		p.many.Remove(slot)
		if p.n <= fewMost/4 {
			p.few, p.many = p.many.ToArray(), nil
		}
	} else if i, ok := slices.BinarySearch(p.few, slot); ok {
		p.few = slices.Delete(p.few, i, i+1)
	}
	switch {
	case p.n == 0:
		*p = posting{}
	case slot != p.last:
	case p.many != nil:
		p.last = p.many.Maximum()
	default:
		p.last = p.few[len(p.few)-1]
	}
	if p.n == 1 { // it is the last one that is left
		p.few = nil
	}
}

// overwrites says whether write may clear bits that others set: a dense part of
// a roaring bitmap, which has more than 4096 slots, is copied.
func (p *posting) overwrites() bool { return p.n >= 4096 }

// write sets the bits of the slots in words, which is long enough, and zero
// before when the posting overwrites.
func (p *posting) write(words []uint64) {
	switch {
	case p.many != nil:
		p.many.WriteDenseTo(words)
	case p.n == 1:
		words[p.last>>6] |= 1 << (p.last & 63)
	default:
		for _, s := range p.few {
			words[s>>6] |= 1 << (s & 63)
		}
	}
}

func (p *posting) bytes() int {
	n := 4 * cap(p.few)
	if p.many != nil {
		n += 200 + int(p.many.GetSizeInBytes())
	}
	return n
}
