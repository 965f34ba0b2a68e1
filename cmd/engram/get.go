package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

func getCommand() *cobra.Command {
	var include []string
	var asOf string
	c := &cobra.Command{
		Use:   "get ID...",
		Short: "Show memories by id, whole",
		Long: `Show memories by id, whole; a suppressed one too. The status is 3 when one of them is not there.
With --json one id gives the memory, several give {"memories": [...], "missing": [...]}.`,
		Example: `  engram get boiler --include versions
  engram get boiler --as-of 2025-03-04T12:00:00Z --json`,
		Args: takes(1, -1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, ids []string) error {
		if len(ids) == 1 {
			m, err := s.GetMemory(ctx, &engramv1.GetMemoryRequest{Space: s.space, Id: ids[0], Include: include, AsOf: asOf})
			if err != nil {
				return err
			}
			return s.answer(m, func() error { return printMemory(s, m) })
		}
		if asOf != "" {
			return usage("--as-of reads one memory; %d ids are given", len(ids))
		}
		return getSeveral(ctx, s, ids, include)
	})
	c.Flags().StringSliceVar(&include, "include", nil, "what else to show: vector, links, versions")
	c.Flags().StringVar(&asOf, "as-of", "", "as it stood then: an LSN, or a time of storage in RFC 3339")
	return c
}

func getSeveral(ctx context.Context, s *session, ids, include []string) error {
	a, err := s.GetMemories(ctx, &engramv1.GetMemoriesRequest{Space: s.space, Ids: ids, Include: include})
	if err != nil {
		return err
	}
	err = s.answer(a, func() error {
		for i, m := range a.GetMemories() {
			if i > 0 {
				_ = s.out.WriteByte('\n') // the flush at the end gives the error
			}
			if err := printMemory(s, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(a.GetMissing()) > 0 {
		return notThere(a.GetMissing())
	}
	return err
}

func notThere(ids []string) error {
	return failed(exitNotFound, "no memory has the id %s", strings.Join(ids, ", "))
}

// printMemory shows all that a memory says, its text last.
func printMemory(s *session, m *engramv1.Memory) error {
	var t table
	say := func(name, value string) {
		if value != "" {
			t.add(name, value)
		}
	}
	say("id", m.GetId())
	say("title", m.GetTitle())
	say("happened", when(m))
	say("place", placeText(m.GetPlace()))
	say("people", strings.Join(m.GetPeople(), ", "))
	say("tags", strings.Join(m.GetTags(), ", "))
	say("stream", m.GetStream())
	say("source", m.GetSource())
	if f := m.GetFact(); f != nil {
		say("fact", f.GetSubject()+" / "+f.GetAttribute()+" / "+f.GetValue())
	}
	sayMetadata(say, m.GetMetadata())
	if m.Salience != nil {
		say("salience", strconv.FormatFloat(m.GetSalience(), 'g', -1, 64))
	}
	say("expires", shown(m.GetExpiresAt()))
	if m.GetSuppressed() {
		say("suppressed", "yes: kept out of recall and lists")
	}
	say("stored", fmt.Sprintf("%s, version %d, lsn %d", shown(m.GetStoredAt()), m.GetVersion(), m.GetLsn()))
	sayIncluded(say, m)
	if err := t.print(s.out); err != nil || m.GetText() == "" {
		return err
	}
	_, err := fmt.Fprintf(s.out, "\n%s\n", plain(m.GetText()))
	return err
}

func sayMetadata(say func(string, string), m *structpb.Struct) {
	keys := make([]string, 0, len(m.GetFields()))
	for k := range m.GetFields() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		say("metadata", k+" = "+string(wirejson.Append(nil, m.GetFields()[k])))
	}
}

// sayIncluded shows what was asked for with --include.
func sayIncluded(say func(string, string), m *engramv1.Memory) {
	for _, v := range m.GetVersions() {
		say("version", fmt.Sprintf("%d, stored %s, lsn %d", v.GetVersion(), shown(v.GetStoredAt()), v.GetLsn()))
	}
	for _, l := range m.GetLinks() {
		say("link", fmt.Sprintf("%s -%s-> %s (weight %g, id %s)", l.GetFrom(), l.GetType(), l.GetTo(), l.GetWeight(), l.GetId()))
	}
	if v := m.GetVector(); len(v) > 0 {
		say("vector", fmt.Sprintf("%d numbers: %s", len(v), strings.Trim(fmt.Sprint(v), "[]")))
	}
}

func placeText(p *engramv1.Place) string {
	text := p.GetName()
	if p != nil && p.Lat != nil {
		text = strings.TrimSpace(fmt.Sprintf("%s (%g, %g)", text, p.GetLat(), p.GetLon()))
	}
	return text
}
