package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// CreateKey makes an API key.
func (s *Service) CreateKey(ctx context.Context, r *engramv1.CreateKeyRequest) (*engramv1.CreateKeyResponse, error) {
	c := callOf(ctx)
	c.Verb = "create_key"
	spec := engram.KeySpec{Name: r.GetName(), Expires: zeroable(r.GetExpiresAt())}
	for _, w := range r.GetScopes() {
		spec.Scopes = append(spec.Scopes, engram.Scope(w))
	}
	for _, n := range r.GetSpaces() {
		spec.Spaces = append(spec.Spaces, memory.SpaceName(n))
	}
	k, secret, err := s.db.CreateKey(c.acting(ctx), spec)
	if err != nil {
		return nil, err
	}
	c.Status = statusCreated
	return &engramv1.CreateKeyResponse{Key: s.keyPB(&k), Secret: secret}, nil
}

// acting says in the database's records who acts.
func (c *Call) acting(ctx context.Context) context.Context {
	switch {
	case c.key != nil:
		return engram.AsActor(ctx, "key "+c.key.ID)
	case !c.local():
		return engram.AsActor(ctx, "anybody") // no key was needed
	}
	return ctx
}

// local says whether the caller is in this process: it has the database open.
func (c *Call) local() bool { return c.Door == doorProcess || c.Door == "" }

func (s *Service) keyPB(k *engram.Key) *engramv1.Key {
	out := &engramv1.Key{Id: k.ID, Name: k.Name, State: k.State(s.db.Now()), CreatedAt: timestamppb.New(k.Created), CreatedBy: k.CreatedBy,
		ExpiresAt: timePB(k.Expires), RotatedAt: timePB(k.Rotated), RotatedBy: k.RotatedBy, OldUntil: timePB(k.OldUntil),
		RevokedAt: timePB(k.Revoked), RevokedBy: k.RevokedBy, LastUsedAt: timePB(k.LastUsed)}
	for _, sc := range k.Scopes {
		out.Scopes = append(out.Scopes, string(sc))
	}
	for _, n := range k.Spaces {
		out.Spaces = append(out.Spaces, string(n))
	}
	return out
}

// timePB gives none for the zero time.
func timePB(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// maxKeysPage is the most keys of one page, and how many there are when the
// caller does not say.
const maxKeysPage = 1000

// ListKeys lists the API keys by id; a page token is the last id.
func (s *Service) ListKeys(ctx context.Context, r *engramv1.ListKeysRequest) (*engramv1.ListKeysResponse, error) {
	callOf(ctx).Verb = "list_keys"
	n, err := pageSize(r.PageSize, maxKeysPage)
	if err != nil {
		return nil, err
	}
	keys, err := s.db.Keys(r.GetPageToken(), n+1)
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListKeysResponse{}
	if len(keys) > n {
		keys = keys[:n]
		out.NextPageToken = keys[n-1].ID
	}
	for i := range keys {
		out.Keys = append(out.Keys, s.keyPB(&keys[i]))
	}
	return out, nil
}

// rotateGrace is how long the old secret of a rotated key is good when the
// caller does not say.
const rotateGrace = 24 * time.Hour

// RotateKey gives an API key another secret.
func (s *Service) RotateKey(ctx context.Context, r *engramv1.RotateKeyRequest) (*engramv1.RotateKeyResponse, error) {
	c := callOf(ctx)
	c.Verb = "rotate_key"
	grace := rotateGrace
	if r.GetGrace() != nil {
		grace = r.GetGrace().AsDuration()
	}
	k, secret, err := s.db.RotateKey(c.acting(ctx), r.GetId(), grace)
	if err != nil {
		return nil, err
	}
	return &engramv1.RotateKeyResponse{Key: s.keyPB(&k), Secret: secret}, nil
}

// RevokeKey ends an API key.
func (s *Service) RevokeKey(ctx context.Context, r *engramv1.RevokeKeyRequest) (*engramv1.RevokeKeyResponse, error) {
	c := callOf(ctx)
	c.Verb = "revoke_key"
	k, err := s.db.RevokeKey(c.acting(ctx), r.GetId())
	if err != nil {
		return nil, err
	}
	return &engramv1.RevokeKeyResponse{Key: s.keyPB(&k)}, nil
}

// ListActs reads a page of what administrators did.
func (s *Service) ListActs(ctx context.Context, r *engramv1.ListActsRequest) (*engramv1.ListActsResponse, error) {
	callOf(ctx).Verb = "list_acts"
	n, err := pageSize(r.PageSize, defaultPage)
	if err != nil {
		return nil, err
	}
	acts, next, err := s.db.Acts(memory.LSN(r.GetAfter()), n)
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListActsResponse{NextAfter: uint64(next)}
	for _, a := range acts {
		out.Acts = append(out.Acts, &engramv1.Act{Lsn: uint64(a.LSN), Time: timestamppb.New(a.Time), Who: a.Who, What: a.What, Target: a.Target, Note: a.Note})
	}
	return out, nil
}
