package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/server/wirejson"
)

type listFlags struct {
	filter       filterFlags
	order, token string
	include      []string
	limit        int
	all          bool
}

func listCommand() *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the memories that filters let through",
		Long: `List the memories that filters let through, as they stood when the walk began. When there are more, the
token for --page-token is printed on stderr, and with --json it is in next_page_token.
Times: ` + timeHelp + `.`,
		Example: `  engram list --tag boats --order happened
  engram list --person Mara --from 2025-03 --to 2025-04 --limit 5
  engram list --all --json | jq -r '.memories[].id'`,
		Args: takes(0, 0, ""),
	}
	client(c, reads, func(ctx context.Context, s *session, _ []string) error {
		if f.limit < 1 {
			return usage("--limit is %d; it is at least 1", f.limit)
		}
		filter, err := f.filter.filter()
		if err != nil {
			return err
		}
		r := &engramv1.ListMemoriesRequest{Space: s.space, Order: f.order, PageToken: f.token, Include: f.include}
		copyFilter(r, filter)
		if s.json {
			return f.writeJSON(ctx, s, r)
		}
		return f.print(ctx, s, r)
	})
	f.filter.add(c)
	oneOf(c, &f.order, "order", "stored", "order of the list", "stored", "happened")
	c.Flags().IntVar(&f.limit, "limit", 50, "most memories")
	c.Flags().BoolVar(&f.all, "all", false, "every memory, however many")
	c.Flags().StringVar(&f.token, "page-token", "", "go on where an earlier list ended")
	c.Flags().StringSliceVar(&f.include, "include", nil, "what else to bring: vector, links")
	notBoth(c, "all", "limit")
	return c
}

// maxPage is the largest page that the API gives.
const maxPage = 1000

// walk calls page for one page after the other, and gives the token of what was
// not read.
func (f *listFlags) walk(ctx context.Context, s *session, r *engramv1.ListMemoriesRequest, page func([]*engramv1.Memory) error) (next string, err error) {
	for left := f.limit; f.all || left > 0; {
		size := int32(maxPage)
		if !f.all {
			size = int32(min(left, maxPage))
		}
		r.PageSize = &size
		a, err := s.ListMemories(ctx, r)
		if err != nil {
			return "", err
		}
		if err := page(a.GetMemories()); err != nil {
			return "", err
		}
		left -= len(a.GetMemories())
		if r.PageToken = a.GetNextPageToken(); r.PageToken == "" {
			break
		}
	}
	return r.PageToken, nil
}

// writeJSON writes one document in the form of the API's answer, however many
// pages it takes, and holds one page at a time.
func (f *listFlags) writeJSON(ctx context.Context, s *session, r *engramv1.ListMemoriesRequest) error {
	var buf []byte
	comma := ""
	_, _ = s.out.WriteString(`{"memories":[`) // a write to stdout that fails is told by the flush at the end
	next, err := f.walk(ctx, s, r, func(ms []*engramv1.Memory) error {
		for _, m := range ms {
			buf = wirejson.Append(append(buf[:0], comma...), m)
			if _, err := s.out.Write(buf); err != nil {
				return err
			}
			comma = ","
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "],\"next_page_token\":%s}\n", wirejson.AppendString(nil, next))
	return err
}

func (f *listFlags) print(ctx context.Context, s *session, r *engramv1.ListMemoriesRequest) error {
	found := 0
	next, err := f.walk(ctx, s, r, func(ms []*engramv1.Memory) error {
		t := table{}
		if found == 0 {
			t.header = []string{"WHEN", "ID", "TAGS", "MEMORY"}
		}
		for _, m := range ms {
			t.add(when(m), m.GetId(), cut(strings.Join(m.GetTags(), ","), 24), gist(m))
		}
		found += len(ms)
		if found == 0 {
			return nil
		}
		return t.print(s.out)
	})
	switch {
	case err != nil:
		return err
	case found == 0:
		_, err = fmt.Fprintln(s.out, "nothing found")
	case next != "":
		_, err = fmt.Fprintf(s.errs, "there are more: --all, --limit %s, or --page-token %s\n", strconv.Itoa(2*f.limit), next)
	}
	return err
}
