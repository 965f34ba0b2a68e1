package mcp

import (
	"context"

	"google.golang.org/protobuf/types/known/structpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

// An API is the calls behind the tools: those of the generated client, and of the
// service in process.
type API interface {
	Remember(context.Context, *engramv1.RememberRequest) (*engramv1.RememberResponse, error)
	Recall(context.Context, *engramv1.RecallRequest) (*engramv1.RecallResponse, error)
	GetMemories(context.Context, *engramv1.GetMemoriesRequest) (*engramv1.GetMemoriesResponse, error)
	Forget(context.Context, *engramv1.ForgetRequest) (*engramv1.ForgetResponse, error)
	CreateLink(context.Context, *engramv1.CreateLinkRequest) (*engramv1.CreateLinkResponse, error)
	ListSpaces(context.Context, *engramv1.ListSpacesRequest) (*engramv1.ListSpacesResponse, error)
	GetSpace(context.Context, *engramv1.GetSpaceRequest) (*engramv1.Space, error)
}

// A tool is one of the protocol's tools.
type tool struct {
	name, title string
	says        string // for the model: what it does and when to use it
	changes     bool   // it is left out when only reading is allowed
	destroys    bool
	again       bool // doing it twice is doing it once
	message     string
	leaves      []string // fields of the message that are not offered
	needs       []string
	spaceless   bool
	answers     string
	call        func(ctx context.Context, t *turn) (any, error)
}

// later are fields of a cue that nothing honours yet, and those that are of no use
// to a model.
var later = []string{"vector", "context", "min_confidence", "stages", "exact", "explain", "timeout", "spaces", "include"}

// tools are all of them, in the order in which they are listed.
var tools = []tool{
	{
		name: "remember", title: "Remember", changes: true, again: true,
		says: "Stores one memory and returns when it is on disk: what happened, was said or was learned, one thing each, in words that will still be clear later. " +
			"Give people, tags, stream and happened_at where they are known: recall can filter by them. A fact that has changed is a new memory, or the same id with on_conflict replace.",
		message: "MemoryInput", leaves: []string{"vector"}, answers: "RememberResponse", call: remember,
	},
	{
		name: "recall", title: "Recall",
		says: "Finds the memories that a cue reminds of, best first, each with where it came from (id, stored_at, source, people) and why it was found. " +
			"Give text for what you look for, and filters for what must hold. An empty list means that nothing was found.",
		message: "Cue", leaves: later, answers: "RecallResponse", call: recall,
	},
	{
		name: "get", title: "Get memories by id",
		says:    "Gives memories whole, by their ids, as recall showed them. Ids that no memory has are in missing.",
		message: "POST /v1/spaces/{space}/memories/get", needs: []string{"ids"}, answers: "GetMemoriesResponse", call: get,
	},
	{
		name: "forget", title: "Forget", changes: true, destroys: true, again: true,
		says: "Forgets memories by ids or by a filter: suppress keeps them out of recall and can be undone, delete takes them away, erase leaves no byte of them. " +
			"With a filter, ask with dry_run first how many it matches, and give that as max.",
		message: "POST /v1/spaces/{space}/memories/forget", leaves: []string{"timeout"}, answers: "ForgetResponse", call: forget,
	},
	{
		name: "link", title: "Link", changes: true,
		says:    "Links two nodes (memories or entities) that exist, by their ids: from -type-> to, such as causes, contradicts or part_of.",
		message: "LinkInput", needs: []string{"from", "type", "to"}, answers: "CreateLinkResponse", call: link,
	},
	{
		name: "list_spaces", title: "List spaces", spaceless: true,
		says:    "Lists the spaces, which are separate memories, with how much each holds.",
		answers: "ListSpacesResponse", call: listSpaces,
	},
}

func remember(ctx context.Context, t *turn) (any, error) {
	r := &engramv1.RememberRequest{Memory: &engramv1.MemoryInput{}}
	if err := t.read(r.Memory); err != nil {
		return nil, err
	}
	r.Space, r.OnConflict = t.space, t.onConflict
	a, err := t.api.Remember(ctx, r)
	return answer(a, err)
}

func recall(ctx context.Context, t *turn) (any, error) {
	r := &engramv1.RecallRequest{Cue: &engramv1.Cue{}}
	if err := t.read(r.Cue); err != nil {
		return nil, err
	}
	r.Space, r.Cue.Explain = t.space, structpb.NewBoolValue(true)
	a, err := t.api.Recall(ctx, r)
	if err == nil {
		a.Took, a.Receipt = nil, ""
	}
	return answer(a, err)
}

func get(ctx context.Context, t *turn) (any, error) {
	r := &engramv1.GetMemoriesRequest{}
	if err := t.read(r, "space"); err != nil {
		return nil, err
	}
	r.Space = t.space
	a, err := t.api.GetMemories(ctx, r)
	return answer(a, err)
}

func forget(ctx context.Context, t *turn) (any, error) {
	r := &engramv1.ForgetRequest{}
	if err := t.read(r, "space"); err != nil {
		return nil, err
	}
	r.Space = t.space
	a, err := t.api.Forget(ctx, r)
	return answer(a, err)
}

func link(ctx context.Context, t *turn) (any, error) {
	r := &engramv1.CreateLinkRequest{Link: &engramv1.LinkInput{}}
	if err := t.read(r.Link); err != nil {
		return nil, err
	}
	r.Space = t.space
	a, err := t.api.CreateLink(ctx, r)
	return answer(a, err)
}

// listSpaces lists all spaces, or the one that is fixed.
func listSpaces(ctx context.Context, t *turn) (any, error) {
	if err := t.read(&engramv1.GetVersionRequest{}); err != nil { // which has no fields
		return nil, err
	}
	if t.fixed {
		sp, err := t.api.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: t.space})
		return answer(&engramv1.ListSpacesResponse{Spaces: []*engramv1.Space{sp}}, err)
	}
	a, err := t.api.ListSpaces(ctx, &engramv1.ListSpacesRequest{})
	return answer(a, err)
}

// read reads the arguments that are the message's. fixed are fields of it that are
// said elsewhere.
func (t *turn) read(m message, fixed ...string) error {
	return wirejson.Decode(t.arguments, m, fixed...)
}
