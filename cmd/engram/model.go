package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	engramclient "github.com/engramdb/engram/clients/go"
	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/embed/bert"
	"github.com/engramdb/engram/memory"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

func modelCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "model",
		Short: "Add, list, test and remove the models that make vectors",
		Long: `A model makes the vectors by which memories are found by meaning. Some are in the program; others are added: a
transformer of the BERT family from a folder, or a model on a server. A space names its model in settings.vector.model.`,
	}, modelAddCommand(), modelListCommand(), modelTestCommand(), modelRemoveCommand())
}

// modelFlags say what is added.
type modelFlags struct {
	name, title, licence, pooling string
	textPrefix, cuePrefix         string
	remote                        engramv1.RemoteModel
	dimension, maxTokens, batch   int32
	timeout                       time.Duration
}

func modelAddCommand() *cobra.Command {
	var f modelFlags
	c := &cobra.Command{
		Use:   "add DIR | add --remote PROTOCOL --url URL --model MODEL --dimension N --name NAME",
		Short: "Add a model: from a folder, or on a server",
		Long: `Add a model.

DIR is a model of the BERT family (MiniLM, bge, e5, gte) as it is published: config.json, model.safetensors, and
vocab.txt or tokenizer.json. It is converted here to int8, sent, checked from end to end, and kept with the database. What
its page says and its folder does not, the flags say: bge wants --pooling cls, e5 --text-prefix "passage: " --cue-prefix "query: ".

With --remote it is a model on a server. The key is not kept: --key-file or --key-env say where the server finds it at
each call. Over the network a key file lies in the directory that the server's setting model_keys names, and a variable
begins with ENGRAM_MODEL_KEY.`,
		Example: `  engram model add ./bge-small-en-v1.5 --pooling cls --licence MIT --data ./memories
  engram model add --remote openai --url https://api.openai.com/v1 --model text-embedding-3-small --dimension 1536 --name openai-small --key-file openai.key`,
		Args: takes(0, 1, "DIR"),
	}
	client(c, makes, func(ctx context.Context, s *session, args []string) error {
		m, err := f.add(ctx, s, c, args)
		if err != nil {
			return err
		}
		return s.answer(m, func() error {
			_, err := fmt.Fprintf(s.out, "model %s is there: %d numbers, digest %.16s\n", m.GetName(), m.GetDimension(), m.GetDigest())
			return err
		})
	})
	fs := c.Flags()
	fs.StringVar(&f.name, "name", "", "what spaces call it: a-z 0-9 . - _ (default the folder's name)")
	fs.StringVar(&f.title, "title", "", "what it is called in the provenance of vectors (default the folder's name)")
	fs.StringVar(&f.licence, "licence", "", "what the model's page says")
	oneOf(c, &f.pooling, "pooling", "", "how the rows of a text become one (default as the folder says, else mean)", "mean", "cls")
	fs.StringVar(&f.textPrefix, "text-prefix", "", "put before each text (default as the folder says)")
	fs.StringVar(&f.cuePrefix, "cue-prefix", "", "put before each cue (default as the folder says)")
	oneOf(c, &f.remote.Protocol, "remote", "", "the model is on a server that speaks this protocol", "openai", "ollama", "cohere")
	fs.StringVar(&f.remote.Url, "url", "", "of the server; OpenAI's ends in /v1, Cohere's in /v2")
	fs.StringVar(&f.remote.Model, "model", "", "what the server calls it")
	fs.Int32Var(&f.dimension, "dimension", 0, "how many numbers its vectors have")
	fs.Int32Var(&f.maxTokens, "max-tokens", 0, "what it reads of a text, if that is known")
	fs.StringVar(&f.remote.KeyFile, "key-file", "", "file that holds the key")
	fs.StringVar(&f.remote.KeyEnv, "key-env", "", "environment variable of the server that holds the key")
	fs.Int32Var(&f.batch, "batch", 0, "most texts in a call (default 64)")
	fs.DurationVar(&f.timeout, "timeout", 0, "of each try (default 30s)")
	fs.Float64Var(&f.remote.PerSecond, "rate", 0, "most calls a second (default 20)")
	return c
}

func (f *modelFlags) add(ctx context.Context, s *session, c *cobra.Command, args []string) (*engramv1.Model, error) {
	switch {
	case f.remote.GetProtocol() != "" && len(args) > 0:
		return nil, usage("a folder and --remote exclude each other")
	case f.remote.GetProtocol() != "":
		return f.addRemote(ctx, s)
	case len(args) == 0:
		return nil, usage("engram model add needs DIR, or --remote").hinted("usage: %s", c.UseLine())
	}
	return f.addFolder(ctx, s, c, args[0])
}

func (f *modelFlags) addRemote(ctx context.Context, s *session) (*engramv1.Model, error) {
	if f.name == "" || f.remote.GetUrl() == "" || f.remote.GetModel() == "" || f.dimension == 0 {
		return nil, usage("--remote needs --name, --url, --model and --dimension")
	}
	f.remote.Dimension, f.remote.MaxTokens, f.remote.Batch = f.dimension, f.maxTokens, f.batch
	f.remote.TextPrefix, f.remote.CuePrefix = f.textPrefix, f.cuePrefix
	if f.timeout != 0 {
		f.remote.Timeout = durationpb.New(f.timeout)
	}
	if file := f.remote.GetKeyFile(); file != "" && s.upload == nil { // in process: the path must hold wherever a server is started
		whole, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		f.remote.KeyFile = whole
	}
	return s.AddModel(ctx, &engramv1.AddModelRequest{Name: f.name, Remote: &f.remote})
}

// addFolder converts a folder into a file for the time being, and sends it.
func (f *modelFlags) addFolder(ctx context.Context, s *session, c *cobra.Command, dir string) (*engramv1.Model, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(whole)
	if f.name == "" {
		f.name = strings.ToLower(base)
	}
	if err := memory.CheckModelName("name", f.name); err != nil {
		return nil, err
	}
	card := bert.Card{Name: f.title, Licence: f.licence, Pooling: f.pooling}
	if card.Name == "" {
		card.Name = base
	}
	if c.Flags().Changed("text-prefix") {
		card.TextPrefix = &f.textPrefix
	}
	if c.Flags().Changed("cue-prefix") {
		card.CuePrefix = &f.cuePrefix
	}
	file, err := os.CreateTemp("", "engram-model-*")
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }() // it has been sent, or is of no use
	if err := bert.Convert(file, os.DirFS(whole), card); err != nil {
		return nil, notConverted(dir, err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	return s.uploadModel(ctx, f.name, file, size)
}

// notConverted says what is wrong with a folder.
func notConverted(dir string, err error) error {
	switch {
	case errors.Is(err, embed.ErrUnsupported):
		return memory.Invalid("model_unsupported", "dir", "%s: %v", dir, err).Hinted("transformers of the BERT family with a WordPiece tokenizer in lower case can be run; others can by --remote")
	case errors.Is(err, fs.ErrNotExist):
		f := failed(exitNotFound, "%s is no model's folder: %v", dir, err)
		return f.hinted("it needs config.json, model.safetensors, and vocab.txt or tokenizer.json")
	case errors.Is(err, embed.ErrDamaged):
		return memory.Invalid("model_file_invalid", "dir", "%s: %v", dir, err).Hinted("fetch the folder again; its files belong together")
	}
	return err
}

// uploadModel sends a model's file through the door that the session has.
func (s *session) uploadModel(ctx context.Context, name string, file io.Reader, size int64) (*engramv1.Model, error) {
	if s.upload != nil {
		return s.upload(ctx, name, file, size)
	}
	return s.EngramServiceClient.(interface {
		UploadModel(context.Context, string, io.Reader) (*engramv1.Model, error)
	}).UploadModel(ctx, name, file)
}

// uploader sends a model's file to a server: PUT /v1/models/{name}.
func uploader(address, key string, t *tls.Config) func(ctx context.Context, name string, file io.Reader, size int64) (*engramv1.Model, error) {
	return func(ctx context.Context, name string, file io.Reader, size int64) (*engramv1.Model, error) {
		base, err := engramclient.BaseURL(address)
		if err != nil {
			return nil, err
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodPut, base+"/v1/models/"+name, file)
		if err != nil {
			return nil, err
		}
		q.ContentLength = size
		q.Header.Set("Content-Type", "application/octet-stream")
		if key != "" {
			q.Header.Set("Authorization", "Bearer "+key)
		}
		a, err := httpClient(t).Do(q)
		if err != nil {
			return nil, failed(exitNotNow, "no server answers at %s: %v", address, unwrapped(err)).hinted("%s", unreachableHint(err))
		}
		defer func() { _ = a.Body.Close() }() // nothing is written to it
		body, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
		if err != nil {
			return nil, err
		}
		if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusCreated {
			return nil, answeredError(a.StatusCode, body)
		}
		m := &engramv1.Model{}
		return m, wirejson.Decode(body, m)
	}
}

// answeredError is the API's error in an answer.
func answeredError(status int, body []byte) error {
	var e struct {
		Error struct{ Kind, Code, Message, Hint string } `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		return failed(exitFailed, "the server answers with status %d", status)
	}
	return &failure{message: e.Error.Message, hint: e.Error.Hint, code: e.Error.Code, status: exitOf(memory.ErrorKind(e.Error.Kind))}
}

func modelListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the models, and the spaces that use each", Example: "  engram model list --json", Args: takes(0, 0, "")}
	return client(c, reads, func(ctx context.Context, s *session, _ []string) error {
		a, err := s.ListModels(ctx, &engramv1.ListModelsRequest{})
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return printModels(s, a.GetModels()) })
	})
}

func printModels(s *session, models []*engramv1.Model) error {
	t := table{header: []string{"MODEL", "KIND", "TITLE", "VERSION", "DIMENSION", "DIGEST", "FROM", "SPACES", "STATE"}}
	for _, m := range models {
		spaces := m.GetSpaces()
		if len(spaces) > 5 {
			spaces = append(slices.Clone(spaces[:5]), fmt.Sprintf("and %d more", len(spaces)-5))
		}
		from := m.GetSource()
		if m.GetKind() == "built_in" {
			from = "the program"
		}
		t.add(m.GetName(), m.GetKind(), m.GetTitle(), m.GetVersion(), strconv.Itoa(int(m.GetDimension())), fmt.Sprintf("%.16s", m.GetDigest()),
			cut(from, 40), strings.Join(spaces, ","), modelState(m))
	}
	return t.print(s.out)
}

// modelState says in a few words how a model is.
func modelState(m *engramv1.Model) string {
	w := m.GetWork()
	switch {
	case m.GetError() != "":
		return "broken: " + cut(m.GetError(), 60)
	case w.GetRestingUntil() != nil && w.GetRestingUntil().AsTime().After(time.Now()):
		return "rests until " + shown(w.GetRestingUntil()) + ": " + cut(w.GetLastError(), 60)
	case w.GetLastError() != "":
		return "failed: " + cut(w.GetLastError(), 60)
	}
	return "ok"
}

func modelRemoveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "rm NAME",
		Short:   "Take out a model that no space uses",
		Example: "  engram model rm old-model",
		Args:    takes(1, 1, "NAME"),
	}
	return client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.DeleteModel(ctx, &engramv1.DeleteModelRequest{Name: args[0]})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "model %s is gone\n", args[0])
			return err
		})
	})
}
