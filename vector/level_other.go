//go:build !amd64

package vector

// Only x86-64 has kernels of its own, see the package doc.
var active = mustChoose(forced(), plain)
