//go:build !linux

package vector

// Pages is n bytes of zeros for a table that is read everywhere; on Linux they lie
// in large pages.
func Pages(n int) []byte { return make([]byte, n) }
