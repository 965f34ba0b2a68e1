package engramclient

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// walkPage is how many things a walk asks for at once when its request does not
// say.
const walkPage = 500

// pages walks page after page and yields each thing. An error is the last that it
// yields.
func pages[T any](ctx context.Context, page func(ctx context.Context, token string) (things []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			things, next, err := page(ctx, token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, x := range things {
				if !yield(x, nil) {
					return
				}
			}
			if token = next; token == "" {
				return
			}
		}
	}
}

// Memories walks over the memories that a filter lets through, as they stood when
// the walk began; r's page token, when it has one, is where to begin. The error,
// when there is one, comes last.
func (c *Client) Memories(ctx context.Context, r *engramv1.ListMemoriesRequest) iter.Seq2[*engramv1.Memory, error] {
	return pages(ctx, func(ctx context.Context, token string) ([]*engramv1.Memory, string, error) {
		q := proto.CloneOf(r)
		q.PageSize, q.PageToken = sized(q.PageSize), begun(token, q.PageToken)
		a, err := c.ListMemories(ctx, q)
		return a.GetMemories(), a.GetNextPageToken(), err
	})
}

// Entities walks over the entities of a space, in the order in which they were
// made.
func (c *Client) Entities(ctx context.Context, r *engramv1.ListEntitiesRequest) iter.Seq2[*engramv1.Entity, error] {
	return pages(ctx, func(ctx context.Context, token string) ([]*engramv1.Entity, string, error) {
		q := proto.CloneOf(r)
		q.PageSize, q.PageToken = sized(q.PageSize), begun(token, q.PageToken)
		a, err := c.ListEntities(ctx, q)
		return a.GetEntities(), a.GetNextPageToken(), err
	})
}

// MemoryLinks walks over the links of a memory.
func (c *Client) MemoryLinks(ctx context.Context, r *engramv1.ListMemoryLinksRequest) iter.Seq2[*engramv1.Link, error] {
	return pages(ctx, func(ctx context.Context, token string) ([]*engramv1.Link, string, error) {
		q := proto.CloneOf(r)
		q.PageSize, q.PageToken = sized(q.PageSize), begun(token, q.PageToken)
		a, err := c.ListMemoryLinks(ctx, q)
		return a.GetLinks(), a.GetNextPageToken(), err
	})
}

// EntityLinks walks over the links of an entity.
func (c *Client) EntityLinks(ctx context.Context, r *engramv1.ListEntityLinksRequest) iter.Seq2[*engramv1.Link, error] {
	return pages(ctx, func(ctx context.Context, token string) ([]*engramv1.Link, string, error) {
		q := proto.CloneOf(r)
		q.PageSize, q.PageToken = sized(q.PageSize), begun(token, q.PageToken)
		a, err := c.ListEntityLinks(ctx, q)
		return a.GetLinks(), a.GetNextPageToken(), err
	})
}

// Spaces walks over the spaces, by name.
func (c *Client) Spaces(ctx context.Context) iter.Seq2[*engramv1.Space, error] {
	return pages(ctx, func(ctx context.Context, token string) ([]*engramv1.Space, string, error) {
		a, err := c.ListSpaces(ctx, &engramv1.ListSpacesRequest{PageToken: token})
		return a.GetSpaces(), a.GetNextPageToken(), err
	})
}

// sized is the page size of a walk.
func sized(given *int32) *int32 {
	if given != nil {
		return given
	}
	n := int32(walkPage)
	return &n
}

// begun is the token to go on with: the walk's own, or at first the caller's.
func begun(token, given string) string {
	if token != "" {
		return token
	}
	return given
}
