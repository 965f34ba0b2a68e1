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
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
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
	end, err := transfer.Export(ctx, x.s, w, x.o)
	x.bar.end()
	if ctx.Err() != nil {
		err = failed(exitInterrupted, "interrupted")
	}
	return end, err
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
		return failed(exitFailed, "%v", err)
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
