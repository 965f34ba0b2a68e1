package server

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// ListModels lists the models by name.
func (s *Service) ListModels(ctx context.Context, _ *engramv1.ListModelsRequest) (*engramv1.ListModelsResponse, error) {
	callOf(ctx).Verb = "list_models"
	all, err := s.db.Models()
	if err != nil {
		return nil, err
	}
	out := &engramv1.ListModelsResponse{}
	for i := range all {
		out.Models = append(out.Models, modelPB(&all[i]))
	}
	return out, nil
}

// GetModel gives one model.
func (s *Service) GetModel(ctx context.Context, r *engramv1.GetModelRequest) (*engramv1.Model, error) {
	callOf(ctx).Verb = "get_model"
	i, err := s.db.Model(r.GetName())
	if err != nil {
		return nil, err
	}
	return modelPB(&i), nil
}

// AddModel makes a remote model known. Who speaks over the network may name keys
// only where keys of models are: another file or variable of the machine is not
// theirs to have sent somewhere.
func (s *Service) AddModel(ctx context.Context, r *engramv1.AddModelRequest) (*engramv1.Model, error) {
	c := callOf(ctx)
	c.Verb = "add_model"
	m := r.GetRemote()
	if m == nil {
		return nil, memory.Invalid("model_invalid", "remote", "remote is missing; a local model is uploaded with PUT /v1/models/{name}").
			Hinted("engram model add DIR converts and uploads one")
	}
	spec := engram.RemoteModel{
		Protocol: m.GetProtocol(), URL: m.GetUrl(), Model: m.GetModel(), Dimension: int(m.GetDimension()), MaxTokens: int(m.GetMaxTokens()),
		TextPrefix: m.GetTextPrefix(), CuePrefix: m.GetCuePrefix(), KeyFile: m.GetKeyFile(), KeyEnv: m.GetKeyEnv(),
		Batch: int(m.GetBatch()), Timeout: m.GetTimeout().AsDuration(), PerSecond: m.GetPerSecond(),
	}
	if !c.local() {
		if err := s.keyPlace(&spec); err != nil {
			return nil, err
		}
	}
	i, added, err := s.db.AddRemoteModel(c.acting(ctx), r.GetName(), spec)
	if err != nil {
		return nil, err
	}
	if added {
		c.Status = statusCreated
	}
	return modelPB(&i), nil
}

// modelKeyPrefix is how the variables begin that may hold keys of models.
const modelKeyPrefix = "ENGRAM_MODEL_KEY"

// keyPlace says whether a key is named where keys of models are, and makes the
// path of its file whole.
func (s *Service) keyPlace(m *engram.RemoteModel) error {
	if m.KeyEnv != "" && !strings.HasPrefix(m.KeyEnv, modelKeyPrefix) {
		return memory.Errorf(memory.KindDenied, "model_key_denied", "remote.key_env: a variable that holds a model's key begins with %s", modelKeyPrefix)
	}
	if m.KeyFile == "" {
		return nil
	}
	denied := memory.Errorf(memory.KindDenied, "model_key_denied", "remote.key_file: the file of a model's key lies in the directory that the setting model_keys of the server names")
	if s.modelKeys == "" {
		return denied.Hinted("the server has none set: set it, or add the model with --data while no server runs")
	}
	if !filepath.IsLocal(m.KeyFile) {
		in, err := filepath.Rel(s.modelKeys, m.KeyFile)
		if err != nil || !filepath.IsLocal(in) {
			return denied
		}
		return nil
	}
	m.KeyFile = filepath.Join(s.modelKeys, m.KeyFile)
	return nil
}

// DeleteModel takes out a model that no space names.
func (s *Service) DeleteModel(ctx context.Context, r *engramv1.DeleteModelRequest) (*engramv1.DeleteModelResponse, error) {
	c := callOf(ctx)
	c.Verb = "delete_model"
	if err := s.db.RemoveModel(c.acting(ctx), r.GetName()); err != nil {
		return nil, err
	}
	return &engramv1.DeleteModelResponse{}, nil
}

// EmbedTexts gives a model's vectors.
func (s *Service) EmbedTexts(ctx context.Context, r *engramv1.EmbedTextsRequest) (*engramv1.EmbedTextsResponse, error) {
	callOf(ctx).Verb = "embed_texts"
	vectors, err := s.db.EmbedTexts(ctx, r.GetName(), r.GetTexts(), r.GetCues())
	if err != nil {
		return nil, err
	}
	out := &engramv1.EmbedTextsResponse{Vectors: make([]*engramv1.EmbeddedText, len(vectors))}
	for i, v := range vectors {
		out.Vectors[i] = &engramv1.EmbeddedText{Vector: v}
	}
	return out, nil
}

func modelPB(i *engram.ModelInfo) *engramv1.Model {
	m := &engramv1.Model{
		Name: i.Name, Kind: string(i.Kind), Title: i.Model.Name, Version: i.Model.Version, Dimension: int32(i.Model.Dimension), MaxTokens: int32(i.Model.MaxTokens),
		Digest: i.Model.Digest, Source: i.Source, Licence: i.Licence, Bytes: uint64(i.Bytes), AddedAt: timePB(i.Added), AddedBy: i.AddedBy,
		Work: &engramv1.ModelWork{Texts: i.Work.Texts, Cues: i.Work.Cues, Failures: i.Work.Failures, LastErrorAt: timePB(i.Work.LastErrorAt), RestingUntil: timePB(i.Work.RestingUntil)},
	}
	if i.Work.LastError != nil {
		m.Work.LastError = i.Work.LastError.Error()
	}
	if i.Err != nil {
		m.Error = i.Err.Error()
	}
	for _, n := range i.Spaces {
		m.Spaces = append(m.Spaces, string(n))
	}
	if r := i.Remote; r != nil {
		m.Remote = &engramv1.RemoteModel{Protocol: r.Protocol, Url: r.URL, Model: r.Model, Dimension: int32(r.Dimension), MaxTokens: int32(r.MaxTokens),
			TextPrefix: r.TextPrefix, CuePrefix: r.CuePrefix, KeyFile: r.KeyFile, KeyEnv: r.KeyEnv, Batch: int32(r.Batch), PerSecond: r.PerSecond}
		if r.Timeout != 0 {
			m.Remote.Timeout = durationpb.New(r.Timeout)
		}
	}
	return m
}

// ReembedSpace moves a space to another model.
func (s *Service) ReembedSpace(ctx context.Context, r *engramv1.ReembedSpaceRequest) (*engramv1.ReembedSpaceResponse, error) {
	sp, c, err := s.open(ctx, "reembed_space", r.GetSpace())
	if err != nil {
		return nil, err
	}
	job, err := sp.Reembed(c.acting(ctx), r.GetModel())
	if err != nil {
		return nil, err
	}
	c.Status = statusAccepted
	s.jobs.add(job.ID, r.GetSpace())
	return &engramv1.ReembedSpaceResponse{Job: job.ID}, nil
}

func reembedPB(r *engram.Reembedding) *engramv1.Reembedding {
	out := &engramv1.Reembedding{Model: r.Model, Dimension: int32(r.Dimension), StartedAt: timePB(r.Since), State: "embedding", Done: uint64(r.Done), Total: uint64(r.Total), Job: r.Job}
	if r.Settling {
		out.State = "settling"
	}
	if r.Err != nil {
		out.Error = r.Err.Error()
	}
	return out
}

// UploadModel stores a local model for callers in the same process: r gives its
// file, as the body of PUT /v1/models/{name} does.
func (s *Service) UploadModel(ctx context.Context, name string, r io.Reader) (*engramv1.Model, error) {
	c := callOf(ctx)
	c.Verb = "upload_model"
	i, added, err := s.db.AddModel(c.acting(ctx), name, r)
	if err != nil {
		return nil, err
	}
	if added {
		c.Status = statusCreated
	}
	return modelPB(&i), nil
}

// uploadOf gives the name of the model when a request uploads one.
func uploadOf(method string, u *url.URL) (name string, is bool) {
	parts, ok := split(u)
	if method != http.MethodPut || !ok || len(parts) != 3 || parts[0] != "v1" || parts[1] != "models" {
		return "", false
	}
	return parts[2], true
}

// uploads answers PUT /v1/models/{name}, whose body is a model's file of any length
// up to engram.MaxModelBytes: it stands beside the schema, whose messages are whole.
// It says whether the request was one.
func (s *Server) uploads(w http.ResponseWriter, r *http.Request, c *Call) bool {
	name, is := uploadOf(r.Method, r.URL)
	if !is {
		return false
	}
	c.Verb = "upload_model"
	m, err := s.upload(r, c, name)
	if err != nil {
		w.Header().Set("Connection", "close") // the rest of the body is not waited for
		s.fail(w, r, c, err)
		return true
	}
	writeMessage(w, m)
	return true
}

func (s *Server) upload(r *http.Request, c *Call, name string) (*engramv1.Model, error) {
	if err := s.authorize(c, "upload_model", &engramv1.GetModelRequest{Name: name}); err != nil {
		return nil, err
	}
	if _, err := transferQuery(r.URL); err != nil {
		return nil, err
	}
	if t := r.Header.Get("Content-Encoding"); t != "" && t != "identity" {
		return nil, encodingUnknown(t, "Content-Encoding", "no compression here")
	}
	if err := memory.CheckModelName("name", name); err != nil {
		return nil, err
	}
	ctx, release, err := s.stream(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	body := &timedBody{r: r, c: c, patience: s.o.BodyTimeout}
	return s.service.UploadModel(ctx, name, body)
}
