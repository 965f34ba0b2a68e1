package vector

import "fmt"

// A level is a set of processor instructions that the kernels are written for.
type level uint8

const (
	plain  level = iota // Go alone: the twins of all others
	avx2                // AVX2 and BMI2
	avx512              // AVX-512 with F, BW, DQ, VL, VNNI and VPOPCNTDQ
)

var levelNames = [...]string{plain: "plain", avx2: "avx2", avx512: "avx512"}

func (l level) String() string { return levelNames[l] }

// Level says which kernels run: "plain", "avx2" or "avx512". It is the best that
// the processor has, or what the environment variable ENGRAM_VECTOR says. The
// results are the same at every level; only the time differs.
func Level() string { return active.String() }

// choose gives the level that name asks for, or the best for no name. The error
// says what may be asked for here.
func choose(name string, best level) (level, error) {
	if name == "" {
		return best, nil
	}
	for l, known := range levelNames {
		switch {
		case known != name:
		case level(l) > best:
			return plain, fmt.Errorf("vector: ENGRAM_VECTOR is %q, which this processor cannot run; its best is %q", name, best)
		default:
			return level(l), nil
		}
	}
	return plain, fmt.Errorf("vector: ENGRAM_VECTOR is %q; it may be plain, avx2 or avx512", name)
}

// mustChoose is choose at the start of the program. Going on with other kernels
// than were asked for would make a test that forces them say nothing.
func mustChoose(name string, best level) level {
	l, err := choose(name, best)
	if err != nil {
		panic(err.Error())
	}
	return l
}
