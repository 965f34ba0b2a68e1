//go:build !unix

package tensors

import "errors"

// Map is not to be had here: whoever asks reads the file instead.
func Map(uintptr, int) (b []byte, unmap func(), err error) {
	return nil, nil, errors.ErrUnsupported
}
