package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func keyCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "key",
		Short: "Create, list, rotate and revoke API keys",
		Long: `Once there is a key, a server wants one of every caller. A key has scopes: read, write, admin. None
implies another, but admin is all of them. The first key is one of admin; make it with --data while no
server runs, or on a server of this machine.`,
	}, keyCreateCommand(), keyListCommand(), keyRotateCommand(), keyRevokeCommand())
}

func keyCreateCommand() *cobra.Command {
	var scopes, spaces []string
	var expires time.Duration
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key and show its secret, this once",
		Long:  "Make a key and print its secret, this once, alone on stdout. Without --only it may see every space.",
		Example: `  engram key create ops --scope admin --data ./memories
  engram key create diary-bot --scope read,write --only diary --expires 2160h`,
		Args: takes(1, 1, "NAME"),
	}
	client(c, makes, func(ctx context.Context, s *session, args []string) error {
		r := &engramv1.CreateKeyRequest{Name: args[0], Scopes: scopes, Spaces: spaces}
		if c.Flags().Changed("expires") {
			if expires <= 0 {
				return usage("--expires is %v; it is above 0", expires)
			}
			r.ExpiresAt = timestamppb.New(time.Now().Add(expires))
		}
		a, err := s.CreateKey(ctx, r)
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return s.showSecret(a.GetKey(), a.GetSecret()) })
	})
	c.Flags().StringSliceVar(&scopes, "scope", []string{"read"}, "what it may do: read, write, admin")
	c.Flags().StringSliceVar(&spaces, "only", nil, "spaces that it may see (default all)")
	c.Flags().DurationVar(&expires, "expires", 0, "how long it is good (default for ever)")
	return c
}

// showSecret prints the secret alone on stdout, for a pipe, and the rest beside it.
func (s *session) showSecret(k *engramv1.Key, secret string) error {
	if _, err := fmt.Fprintf(s.errs, "key %s (%s): %s; the secret is not shown again\n", k.GetId(), oneLine(k.GetName()), strings.Join(k.GetScopes(), ", ")); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.out, secret)
	return err
}

func keyListCommand() *cobra.Command {
	var acts bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the keys, or what administrators did",
		Example: "  engram key list --acts",
		Args:    takes(0, 0, ""),
	}
	client(c, reads, func(ctx context.Context, s *session, _ []string) error {
		if acts {
			return listActs(ctx, s)
		}
		all := &engramv1.ListKeysResponse{}
		for r := (&engramv1.ListKeysRequest{}); ; {
			a, err := s.ListKeys(ctx, r)
			if err != nil {
				return err
			}
			all.Keys = append(all.Keys, a.GetKeys()...)
			if r.PageToken = a.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		return s.answer(all, func() error { return printKeys(s, all.GetKeys()) })
	})
	c.Flags().BoolVar(&acts, "acts", false, "what administrators did to keys and spaces: when, who, what")
	return c
}

func printKeys(s *session, keys []*engramv1.Key) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing found")
		return err
	}
	t := table{header: []string{"KEY", "NAME", "SCOPES", "SPACES", "STATE", "CREATED", "BY", "EXPIRES", "LAST USED"}}
	for _, k := range keys {
		spaces := strings.Join(k.GetSpaces(), ",")
		if spaces == "" {
			spaces = "all"
		}
		t.add(k.GetId(), k.GetName(), strings.Join(k.GetScopes(), ","), spaces, k.GetState(), shown(k.GetCreatedAt()), k.GetCreatedBy(),
			orNever(k.GetExpiresAt()), orNever(k.GetLastUsedAt()))
	}
	return t.print(s.out)
}

func orNever(at *timestamppb.Timestamp) string {
	if at == nil {
		return "never"
	}
	return shown(at)
}

func listActs(ctx context.Context, s *session) error {
	all := &engramv1.ListActsResponse{}
	page := int32(1000)
	for r := (&engramv1.ListActsRequest{PageSize: &page}); ; r.After = all.NextAfter {
		a, err := s.ListActs(ctx, r)
		if err != nil {
			return err
		}
		all.Acts, all.NextAfter = append(all.Acts, a.GetActs()...), a.GetNextAfter()
		if len(a.GetActs()) == 0 {
			break
		}
	}
	return s.answer(all, func() error {
		t := table{header: []string{"LSN", "WHEN", "WHO", "WHAT", "TARGET", "NOTE"}}
		for _, a := range all.GetActs() {
			t.add(strconv.FormatUint(a.GetLsn(), 10), shown(a.GetTime()), a.GetWho(), a.GetWhat(), a.GetTarget(), a.GetNote())
		}
		return t.print(s.out)
	})
}

func keyRotateCommand() *cobra.Command {
	var grace time.Duration
	c := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Give a key another secret and show it, this once",
		Long:    "Give a key another secret and print it, this once, alone on stdout. The one before stays good for --grace.",
		Example: "  engram key rotate k4vj2mzq7c5hdn3a --grace 1h",
		Args:    takes(1, 1, "ID"),
	}
	client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.RotateKey(ctx, &engramv1.RotateKeyRequest{Id: args[0], Grace: durationpb.New(grace)})
		if err != nil {
			return err
		}
		return s.answer(a, func() error { return s.showSecret(a.GetKey(), a.GetSecret()) })
	})
	c.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the secret before stays good; 0: not at all")
	return c
}

func keyRevokeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key at once",
		Long:    "End a key at once, also in the middle of a stream.",
		Example: "  engram key revoke k4vj2mzq7c5hdn3a",
		Args:    takes(1, 1, "ID"),
	}
	return client(c, reads, func(ctx context.Context, s *session, args []string) error {
		a, err := s.RevokeKey(ctx, &engramv1.RevokeKeyRequest{Id: args[0]})
		if err != nil {
			return err
		}
		return s.answer(a, func() error {
			_, err := fmt.Fprintf(s.out, "key %s (%s) is over\n", a.GetKey().GetId(), oneLine(a.GetKey().GetName()))
			return err
		})
	})
}
