package vector

import "golang.org/x/sys/cpu"

var active = mustChoose(forced(), bestLevel())

// bestLevel is the highest level whose instructions this processor has and whose
// registers the operating system saves.
func bestLevel() level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasBMI2:
		return plain
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI && x.HasAVX512VPOPCNTDQ:
		return avx512
	}
	return avx2
}
