package embed

import "context"

type asideKey struct{}

// Aside gives a context under which a model that computes in the process calls aside
// between short pieces of work, some 0.1 ms each: whoever embeds in the background may let
// others go first there. aside may wait; the vectors are the same.
func Aside(ctx context.Context, aside func()) context.Context {
	return context.WithValue(ctx, asideKey{}, aside)
}

// AsideOf is what a model calls; nil: nothing.
func AsideOf(ctx context.Context) func() {
	aside, _ := ctx.Value(asideKey{}).(func())
	return aside
}
