package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// rememberFlags are the parts of a memory, and how it is written.
type rememberFlags struct {
	id, title, stream, source, happened, expires  string
	place, position, vector, conflict, durability string
	key, wait                                     string
	people, tags, metadata                        []string
	salience                                      float64
}

func rememberCommand() *cobra.Command {
	var f rememberFlags
	c := &cobra.Command{
		Use:   "remember [TEXT|-]",
		Short: "Store a memory; it is on disk when the command ends",
		Long: `Store a memory; it is on disk when the command ends.

The text is the argument, or what is piped in. The same --id with the same content is
stored once; with other content it is a conflict unless --on-conflict says otherwise.
Times: ` + timeHelp + `.`,
		Example: `  engram remember "Mara found the old chart in the boathouse" --tag boats --person Mara --happened-at 2025-03-04
  git log -1 --format=%B | engram remember --stream commits
  engram remember "The boiler needs 1.5 bar" --id boiler --metadata bar=1.5`,
		Args: takes(0, 1, "TEXT"),
	}
	client(c, makes, func(ctx context.Context, s *session, args []string) error {
		m, err := f.memory(s, args, c.Flags().Changed("salience"))
		if err != nil {
			return err
		}
		r := &engramv1.RememberRequest{Space: s.space, Memory: m, OnConflict: f.conflict, Durability: f.durability}
		if f.wait != "" {
			r.Wait = []string{f.wait}
		}
		w, err := s.Remember(keyed(ctx, f.key), r)
		if err != nil {
			return err
		}
		return s.answer(w, func() error {
			_, err := fmt.Fprintf(s.out, "%s %s\n", w.GetOutcome(), w.GetId())
			return err
		})
	})
	f.add(c)
	return c
}

func (f *rememberFlags) add(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.id, "id", "", "id of the memory; made when left out")
	fs.StringVar(&f.title, "title", "", "title, which is searched with the text")
	fs.StringSliceVar(&f.tags, "tag", nil, "tags to filter by")
	fs.StringSliceVar(&f.people, "person", nil, "who took part")
	fs.StringVar(&f.stream, "stream", "", "conversation, document or feed that it belongs to")
	fs.StringVar(&f.source, "source", "", "where it came from")
	fs.StringVar(&f.happened, "happened-at", "", "when it happened")
	fs.StringVar(&f.place, "place", "", "name of the place where it happened")
	fs.StringVar(&f.position, "position", "", "where it happened: LAT,LON in degrees")
	fs.StringArrayVar(&f.metadata, "metadata", nil, "what to keep beside it: KEY=VALUE, the value a string, number, true, false or JSON list")
	fs.Float64Var(&f.salience, "salience", 0, "how much it mattered, 0 to 1")
	fs.StringVar(&f.expires, "expires-at", "", "after this time it is no longer recalled")
	fs.StringVar(&f.vector, "vector", "", "JSON array of numbers, or @FILE with one")
	oneOf(c, &f.conflict, "on-conflict", "error", "when the id stands with other content", "error", "keep", "replace")
	oneOf(c, &f.durability, "durability", "", "when the write is acknowledged (default the space's)", "disk", "process")
	oneOf(c, &f.wait, "wait", "", "what to wait for beside the disk: until a model has made the vector, so that the next recall finds it by meaning", "vector")
	fs.StringVar(&f.key, "idempotency-key", "", "a repeat with the same key gives the first answer")
}

func (f *rememberFlags) memory(s *session, args []string, salient bool) (*engramv1.MemoryInput, error) {
	m := &engramv1.MemoryInput{Id: f.id, Title: f.title, Stream: f.stream, Source: f.source, People: f.people, Tags: f.tags}
	var err error
	if m.Vector, err = parseVector(f.vector); err != nil {
		return nil, err
	}
	if len(args) == 0 && m.Vector == nil && piped(s.in) {
		args = []string{"-"}
	}
	if m.Text, err = s.text(args); err != nil {
		return nil, err
	}
	if m.Text == "" && m.Vector == nil {
		return nil, usage("there is nothing to remember").hinted("give the text as an argument, or pipe it in")
	}
	if f.happened != "" {
		if err := happen(m, f.happened); err != nil {
			return nil, err
		}
	}
	if m.ExpiresAt, err = stamp("expires-at", f.expires); err != nil {
		return nil, err
	}
	if m.Place, err = place(f.place, f.position); err != nil {
		return nil, err
	}
	if salient {
		m.Salience = &f.salience
	}
	m.Metadata, err = keyValues("metadata", f.metadata)
	return m, err
}

func place(name, position string) (*engramv1.Place, error) {
	if name == "" && position == "" {
		return nil, nil
	}
	p := &engramv1.Place{Name: name}
	if position == "" {
		return p, nil
	}
	a, b, _ := strings.Cut(position, ",")
	lat, ok1 := number(a)
	lon, ok2 := number(b)
	if !ok1 || !ok2 {
		return nil, usage("--position: %q is not LAT,LON", position).hinted("write degrees, such as 47.37,8.54")
	}
	p.Lat, p.Lon = &lat, &lon
	return p, nil
}
