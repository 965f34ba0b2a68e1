package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// Who may do what is decided in two steps, the same for every door. admit finds
// the key before a byte of the body is read; authorize, once the message is
// there, asks whether the key may do that verb in that space. Each refuses when
// it cannot tell.

// A need is what a verb asks of a key.
type need string

// The needs that are no scopes.
const (
	needNothing need = "nothing" // open to everybody
	needKey     need = "key"     // any key
	needRead         = need(engram.ScopeRead)
	needWrite        = need(engram.ScopeWrite)
	needAdmin        = need(engram.ScopeAdmin)
)

// needs has every verb. A verb that is missing needs admin, and the test that
// goes through the schema finds it.
var needs = map[string]need{
	"get_version": needNothing, "health_check": needNothing, "health_watch": needNothing,
	"server_reflection_info": needKey, "get_job": needKey, // of a job that the key may see

	"get_space": needRead, "list_spaces": needRead, "get_memory": needRead, "get_memories": needRead, "list_memories": needRead,
	"recall": needRead, "replay_recall": needRead, "get_entity": needRead, "list_entities": needRead, "get_link": needRead,
	"list_memory_links": needRead, "list_entity_links": needRead, "spread": needRead, "recognise": needRead, "complete": needRead,
	"match": needRead, "query": needRead, "list_concepts": needRead, "get_concept": needRead, "list_plans": needRead,
	"list_events": needRead, "subscribe": needRead,

	"remember": needWrite, "remember_batch": needWrite, "update_memory": needWrite, "delete_memory": needWrite, "forget": needWrite,
	"restore": needWrite, "feedback": needWrite, "put_entity": needWrite, "update_entity": needWrite, "delete_entity": needWrite,
	"merge_entities": needWrite, "unmerge_entities": needWrite, "relink": needWrite, "create_link": needWrite, "create_links": needWrite, "update_link": needWrite, "delete_link": needWrite,
	"consolidate": needWrite, "revert_plan": needWrite, "cancel_job": needWrite,

	"put_space": needAdmin, "update_space": needAdmin, "delete_space": needAdmin, "create_key": needAdmin, "list_keys": needAdmin,
	"rotate_key": needAdmin, "revoke_key": needAdmin, "list_acts": needAdmin,
	"list_models": needAdmin, "get_model": needAdmin, "add_model": needAdmin, "upload_model": needAdmin, "delete_model": needAdmin, "embed_texts": needAdmin, "reembed_space": needAdmin, "metrics": needRead, "profile": needAdmin, "check_recall": needAdmin,
}

func needOf(verb string) need {
	if n, ok := needs[verb]; ok {
		return n
	}
	return needAdmin
}

// errKeyMissing is the answer to who shows no key where one is needed.
var errKeyMissing = memory.Errorf(memory.KindUnauthenticated, "key_missing", "this server wants an API key").
	Hinted("send Authorization: Bearer and the secret that engram key create showed; engram takes it as --key or $ENGRAM_KEY")

// keysNeeded says whether callers have to show a key.
func (s *Server) keysNeeded() bool { return s.o.RequireKeys || s.db.KeysDefined() }

// admit finds the key of a request: nil when none is needed. open says that the
// request is for something that everybody may have.
func (s *Server) admit(r *http.Request, open bool) (*engram.Key, *memory.Error) {
	if open || !s.keysNeeded() {
		return nil, nil
	}
	secret, given := secretOf(r)
	if !given {
		return nil, errKeyMissing
	}
	k, err := s.db.Authenticate(secret)
	if err != nil {
		return nil, asError(r.Context(), err)
	}
	return &k, nil
}

// keyProtocol is how a browser, which cannot set headers on a WebSocket, says its
// key: as the subprotocol keyProtocol and the secret, beside eventProtocol.
const (
	keyProtocol   = "engram.key."
	eventProtocol = "engram.events"
)

// secretOf gives the secret that a request shows.
func secretOf(r *http.Request) (secret string, given bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		kind, secret, _ := strings.Cut(h, " ")
		if !strings.EqualFold(kind, "Bearer") {
			return "", true // of a kind that we have not, which is no key
		}
		return strings.TrimSpace(secret), true
	}
	if !isWebSocket(r) {
		return "", false
	}
	for _, h := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			if secret, ok := strings.CutPrefix(strings.TrimSpace(p), keyProtocol); ok {
				return secret, true
			}
		}
	}
	return "", false
}

// authorize says whether the caller may do a verb with a message. A space that
// its key may not see is answered as one that is not there, before anything that
// could tell them apart.
func (s *Server) authorize(c *Call, verb string, m proto.Message) error {
	c.Verb = verb
	n := needOf(verb)
	if n == needNothing {
		return nil
	}
	if c.key == nil {
		if s.keysNeeded() {
			return errKeyMissing // admit has let it in for something else
		}
		return s.throttle(c, m)
	}
	if err := s.db.StillGood(c.key); err != nil {
		return err // the body took its time, or the call is one of many under this key
	}
	if err := s.sees(c, m); err != nil {
		return err
	}
	if n != needKey && !c.key.May(engram.Scope(n)) {
		return denied(c.key, n)
	}
	if looksWhileWriting(m) && !c.key.May(engram.ScopeRead) {
		return denied(c.key, needRead)
	}
	if err := s.seesJob(c, m); err != nil {
		return err
	}
	return s.throttle(c, m)
}

func denied(k *engram.Key, n need) error {
	have := make([]string, len(k.Scopes))
	for i, sc := range k.Scopes {
		have[i] = string(sc)
	}
	return memory.Errorf(memory.KindDenied, "scope_missing", "the key has not the scope %s", n).
		Hinted("use a key that has it; no scope implies another, but admin is all of them").With("needs", string(n)).With("has", have)
}

// looksWhileWriting says whether a write tells what there is: how many memories a
// filter lets through.
func looksWhileWriting(m proto.Message) bool {
	switch r := m.(type) {
	case *engramv1.ForgetRequest:
		return r.GetFilter() != nil || r.GetDryRun()
	case *engramv1.RestoreRequest:
		return r.GetFilter() != nil || r.GetDryRun()
	}
	return false
}

// sees says whether the key may know of all the spaces that a message names.
func (s *Server) sees(c *Call, m proto.Message) error {
	for _, name := range spacesOf(m) {
		n := memory.SpaceName(name)
		if !c.key.Sees(n) {
			if err := n.Check(); err != nil {
				return err // as everybody is told
			}
			c.Space = "" // not for logs and metrics of what it may not know
			return engram.SpaceNotFound(n)
		}
	}
	return nil
}

// seesJob says whether the key may know of the job that a message names: one of
// its spaces, or of any when it sees all.
func (s *Server) seesJob(c *Call, m proto.Message) error {
	j, ok := m.(interface{ GetId() string })
	if !ok || c.Verb != "get_job" && c.Verb != "cancel_job" || len(c.key.Spaces) == 0 {
		return nil
	}
	if space := s.service.jobSpace(j.GetId()); space != "" && c.key.Sees(memory.SpaceName(space)) {
		return nil
	}
	_, err := s.db.Job("") // what is said of a job that is not there
	return renamed(err, j.GetId())
}

// renamed puts the id that was asked for into the message about an unknown job.
func renamed(err error, id string) error {
	e := *asError(context.Background(), err)
	e.Message = strings.Replace(e.Message, `""`, fmt.Sprintf("%q", id), 1)
	return &e
}

// spacesOf gives the names of spaces in a message. All the schema's messages have
// them in a field of that name, and a cue in spaces.
func spacesOf(m proto.Message) []string {
	var names []string
	if one, ok := m.(interface{ GetSpace() string }); ok && one.GetSpace() != "" {
		names = append(names, one.GetSpace())
	}
	if r, ok := m.(*engramv1.RecallRequest); ok {
		names = append(names, r.GetCue().GetSpaces()...)
	}
	return names
}
