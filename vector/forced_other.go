//go:build !unix

package vector

// forced: the environment is asked on Unix only; elsewhere the best level runs.
func forced() string { return "" }
