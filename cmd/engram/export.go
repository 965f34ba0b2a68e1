package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	engramclient "github.com/engramdb/engram/clients/go"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/transfer"
)

func exportCommand() *cobra.Command {
	var digestOnly, force bool
	var vectors string
	c := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Write a space as JSONL, which engram import reads",
		Long: `Write a space as JSONL: a header with its settings, the entities, the memories as they stood when the export
began, the links, and an end with the digest of it all. Suppressed and expired memories and older
versions are left out.

Import it into a space that is not there yet, and that has the same digest. FILE is there only when
it is whole; - or nothing is stdout.`,
		Example: `  engram export notes.jsonl --space notes
  engram export --space notes | gzip > notes.jsonl.gz
  engram export --space notes --digest`,
		Args: takes(0, 1, "FILE"),
	}
	client(c, copies, func(ctx context.Context, s *session, args []string) error {
		x := &exportJob{s: s, bar: newBar(s.errs, 0), o: transfer.ExportOptions{Space: s.space, Vectors: transfer.Vectors(vectors)}}
		x.o.Moved = x.moved
		switch {
		case digestOnly && len(args) > 0:
			return usage("--digest writes no file")
		case digestOnly:
			return x.digest(ctx)
		case len(args) == 0 || args[0] == "-":
			_, err := x.write(ctx, s.out)
			return err
		}
		return x.file(ctx, args[0], force)
	})
	oneOf(c, &vectors, "vectors", "given", "which vectors: those that callers gave, also those that a model made of the texts, or none", "given", "all", "none")
	c.Flags().BoolVar(&digestOnly, "digest", false, "print the counts and the digest alone")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

// An exportJob is one export that runs.
type exportJob struct {
	s   *session
	bar *bar
	o   transfer.ExportOptions
}

func (x *exportJob) moved(lines, of int64) error {
	x.bar.of = of
	x.bar.draw(lines, lines)
	return nil
}

func (x *exportJob) write(ctx context.Context, w io.Writer) (transfer.End, error) {
	end, err := x.export(ctx, w)
	x.bar.end()
	if ctx.Err() != nil {
		err = failed(exitInterrupted, "interrupted")
	}
	return end, err
}

// export reads a database in process, or has its server write what it reads.
func (x *exportJob) export(ctx context.Context, w io.Writer) (transfer.End, error) {
	switch api := x.s.EngramServiceClient.(type) {
	case transfer.Source:
		return transfer.Export(ctx, api, w, x.o)
	case *engramclient.Client:
		if x.bar.on {
			x.count(ctx)
		}
		o := engramclient.ExportOptions{Vectors: string(x.o.Vectors), Moved: func(lines int64) error { return x.moved(lines, x.bar.of) }}
		end, err := api.Export(ctx, x.s.space, w, o)
		return transfer.End(end), err
	}
	return transfer.End{}, errors.New("there is no way to export here")
}

// count asks how many lines there may be. Nobody is told that it failed.
func (x *exportJob) count(ctx context.Context) {
	sp, err := x.s.GetSpace(ctx, &engramv1.GetSpaceRequest{Space: x.s.space})
	if err == nil {
		n := sp.GetCounts()
		x.bar.of = int64(n.GetEpisodes() + n.GetEntities() + n.GetLinks())
	}
}

func (x *exportJob) digest(ctx context.Context) error {
	end, err := x.write(ctx, io.Discard)
	if err != nil {
		return err
	}
	return x.say(end, "")
}

// file writes under another name first, so that what has the name is whole.
func (x *exportJob) file(ctx context.Context, name string, force bool) error {
	if _, err := os.Stat(name); err == nil && !force {
		return failed(exitConflict, "%s is there already", name).hinted("give another name, or --force")
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return failed(exitFailed, "%s cannot be written: %v", name, unwrapped(err))
	}
	out := bufio.NewWriterSize(f, 1<<20)
	end, err := x.write(ctx, out)
	err = errors.Join(err, out.Flush(), f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return x.say(end, " in "+name)
}

func (x *exportJob) say(end transfer.End, where string) error {
	if x.s.json {
		body, err := json.Marshal(map[string]any{"memories": end.Memories, "entities": end.Entities, "links": end.Links, "digest": end.Digest})
		if err == nil {
			_, err = x.s.out.Write(append(body, '\n'))
		}
		return err
	}
	_, err := fmt.Fprintf(x.s.out, "%d memories, %d entities, %d links%s\n%s\n", end.Memories, end.Entities, end.Links, where, end.Digest)
	return err
}
