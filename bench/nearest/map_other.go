//go:build !unix

package nearest

import "os"

func mapFile(name string) ([]byte, error) { return os.ReadFile(name) }
