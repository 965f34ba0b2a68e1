//go:build unix

package nearest

import (
	"os"
	"syscall"
)

// mapFile gives a file's bytes where they lie: a million vectors are not memory
// of this process. They stay mapped until it ends; writing to them changes this
// process's copy alone.
func mapFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
}
