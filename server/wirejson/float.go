package wirejson

import (
	"encoding/binary"
	"math"
)

// quickFloat reads a number of 32 bits, in a fraction of the time of strconv, if it is of
// the form that vectors are made of: digits and a point, at most fifteen digits. Such a
// number is a whole number divided by a power of ten, both exact in 64 bits; so their
// quotient is rounded right there (Clinger 1990), and rounding it again to 32 bits is
// right unless it stands half way between two of these, where the first rounding may
// have been what brought it there. For that, for every other number and for what is
// none it says false and leaves the position.
func (d *decoder) quickFloat() (float32, bool) {
	b, i := d.data, d.pos
	if i < len(b) && b[i] == '-' {
		i++
	}
	first, point := i, -1
	var whole uint64
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c <= 9 {
			whole = whole*10 + uint64(c) // wraps only beyond what is refused below
			continue
		}
		if b[i] != '.' || point >= 0 {
			break
		}
		point = i
		for n := uint64(0); i+8 < len(b); i += 8 { // the decimals, eight at a time
			var ok bool
			if n, ok = eightDigits(binary.LittleEndian.Uint64(b[i+1:])); !ok {
				break
			}
			whole = whole*1e8 + n
		}
	}
	digits, decimals := i-first, 0
	if point >= 0 {
		digits, decimals = digits-1, i-point-1
	}
	switch {
	case digits == 0 || digits > maxDigits, point == first, point >= 0 && decimals == 0:
		return 0, false
	case b[first] == '0' && digits > 1 && point != first+1: // 01
		return 0, false
	case i < len(b) && (b[i] == 'e' || b[i] == 'E' || b[i] == '.'):
		return 0, false
	}
	x := float64(whole) / tens[decimals]
	if x < minNormal && whole != 0 || math.Float64bits(x)&halfMask == half {
		return 0, false
	}
	if b[d.pos] == '-' {
		x = -x
	}
	d.pos = i
	return float32(x), true
}

// eightDigits gives the number of eight digits that were read as one word, the first of
// them lowest (Langdale and Lemire 2019), and whether they are digits.
func eightDigits(w uint64) (uint64, bool) {
	const zeros, high = 0x3030303030303030, 0xf0f0f0f0f0f0f0f0
	if w&high != zeros || (w+0x0606060606060606)&high != zeros {
		return 0, false
	}
	w -= zeros
	w = w*10 + w>>8 // pairs, in every other byte
	return ((w&0xff000000ff)*(100+1000000<<32) + (w>>16&0xff000000ff)*(1+10000<<32)) >> 32, true
}

// maxDigits is how many decimal digits a number of 64 bits always holds.
const maxDigits = 15

var tens = [maxDigits + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

const (
	minNormal = 0x1p-126      // the least number of 32 bits that has all its digits
	halfMask  = 1<<29 - 1     // the bits of 64 that 32 have not
	half      = 1 << (29 - 1) // of them, half way
)
