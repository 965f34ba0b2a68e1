// Package minilm is the sentence transformer all-MiniLM-L6-v2 with its weights in the binary: 384 numbers a text, no
// key, no download.
//
// Importing the package adds 23 MB to a program and registers the model with package embed under [Name]. The weights are
// part of the program file, which the system maps: starting does not read them, and what is not used takes no memory. The
// first Embed (or [bert.Model.Warm]) checks them against their checksums and brings the matrices into the order that the
// kernels read, 11 MB; the 12 MB of words are used where they lie.
//
// minilm.bin is made by the command in convert from the weights that are published; PROVENANCE.md says from which.
// What the network does and how near it is to the reference stands in package bert.
package minilm

import (
	_ "embed" // for the weights
	"unsafe"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/embed/tensors"
)

// Name is what the model is registered under.
const Name = "minilm"

// weights is a string, not a byte slice, so that the linker puts it where nothing can write.
//
//go:embed minilm.bin
var weights string

func init() {
	embed.Register(Name, func() (embed.Model, error) { return Open(bert.Options{}) })
}

// Open returns the model. It costs some microseconds; models that were opened twice share the words, not the matrices.
func Open(o bert.Options) (*bert.Model, error) {
	return bert.Read(unsafe.Slice(unsafe.StringData(weights), len(weights)), o)
}

// Vocabulary returns the model's tokens, one a line.
func Vocabulary() (string, error) {
	f, err := tensors.Read(unsafe.Slice(unsafe.StringData(weights), len(weights)))
	if err != nil {
		return "", err
	}
	return f.Text("vocabulary")
}
