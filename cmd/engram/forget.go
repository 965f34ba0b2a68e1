package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

type forgetFlags struct {
	filter            filterFlags
	mode, reason, key string
	dryRun, yes       bool
	most              uint32
	timeout           time.Duration
}

// handful is how many memories a filter may forget without --yes.
const handful = 5

func forgetCommand() *cobra.Command {
	var f forgetFlags
	c := &cobra.Command{
		Use:   "forget [ID...]",
		Short: "Suppress, delete or erase memories, by id or by filters",
		Long: `Forget memories, by id or by filters.

suppress  keeps them out of recall and lists; they can be restored
delete    takes them away; they stay readable as of earlier until the horizon
erase     removes every byte of them from every live file, and waits until that is done

Filters that match more than ` + fmt.Sprint(handful) + ` memories need --yes (or --max, or --json): look first with --dry-run.`,
		Example: `  engram forget boiler --mode erase
  engram forget --tag draft --dry-run
  engram forget --stream old-chat --yes --reason "asked for by the user"`,
		Args: takes(0, -1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, ids []string) error {
		r, err := f.request(c, s, ids)
		if err != nil {
			return err
		}
		a, err := s.Forget(keyed(ctx, f.key), r)
		if err != nil {
			return f.explain(err)
		}
		if err := s.finish(ctx, a.GetJob()); err != nil {
			return err
		}
		return f.answer(s, a)
	})
	f.filter.add(c)
	oneOf(c, &f.mode, "mode", "delete", "how", "suppress", "delete", "erase")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "only count")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "forget however many the filters match")
	c.Flags().Uint32Var(&f.most, "max", 0, "refuse when more than this many match")
	c.Flags().StringVar(&f.reason, "reason", "", "why; kept in the journal")
	c.Flags().StringVar(&f.key, "idempotency-key", "", "a repeat with the same key gives the first answer")
	c.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "how long the server waits for an erasure before it goes on as a job")
	return c
}

func (f *forgetFlags) request(c *cobra.Command, s *session, ids []string) (*engramv1.ForgetRequest, error) {
	filter, err := f.filter.filter()
	if err != nil {
		return nil, err
	}
	r := &engramv1.ForgetRequest{Space: s.space, Ids: ids, Mode: f.mode, DryRun: f.dryRun, Reason: f.reason}
	switch {
	case len(ids) == 0 && isEmpty(filter):
		return nil, usage("forget needs ids or filters").hinted("engram space delete NAME drops a whole space")
	case len(ids) > 0 && !isEmpty(filter):
		return nil, usage("forget takes ids or filters, not both")
	case len(ids) == 0:
		r.Filter = filter
	}
	if c.Flags().Changed("timeout") {
		r.Timeout = durationpb.New(f.timeout)
	}
	if c.Flags().Changed("max") {
		r.Max = &f.most
	} else if f.careful(s, r) {
		most := uint32(handful)
		r.Max = &most
	}
	return r, nil
}

// careful says whether the server is to refuse more than a handful. It is told
// to, instead of being asked beforehand how many match: between the two calls
// more could come to match.
func (f *forgetFlags) careful(s *session, r *engramv1.ForgetRequest) bool {
	return r.Filter != nil && !f.yes && !f.dryRun && !s.json
}

func (f *forgetFlags) explain(err error) error {
	e := explain(err)
	if e.code == "too_many_matched" && f.most == 0 {
		return e.hinted("look with --dry-run or engram list, then say --yes")
	}
	return e
}

func (f *forgetFlags) answer(s *session, a *engramv1.ForgetResponse) error {
	err := s.answer(a, func() error {
		line := fmt.Sprintf("%d of %d forgotten (%s)", a.GetForgotten(), a.GetMatched(), f.mode)
		if f.dryRun {
			line = fmt.Sprintf("%d would be forgotten (%s)", a.GetMatched(), f.mode)
		}
		_, err := fmt.Fprintln(s.out, line)
		return err
	})
	if err == nil && len(a.GetMissing()) > 0 {
		return notThere(a.GetMissing())
	}
	return err
}
