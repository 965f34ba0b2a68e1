//go:build !unix

package store

func mapFile(uintptr, int) ([]byte, bool) { return nil, false }

func unmapFile([]byte) error { return nil }
