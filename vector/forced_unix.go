//go:build unix

package vector

import "golang.org/x/sys/unix"

// forced is the level that the environment asks for, "" for none. Packages of
// this floor do without os, hence unix.
func forced() string {
	name, _ := unix.Getenv("ENGRAM_VECTOR")
	return name
}
