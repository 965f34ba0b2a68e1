//go:build !linux

package ann_test

import (
	"os"
	"testing"
)

// mapped is a file in memory.
func mapped(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
