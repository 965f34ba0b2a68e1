package engram_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// erasureWait is no part of any outcome: the virtual clock never reaches it.
const erasureWait = time.Hour

// verbs are what the scenarios can say.
var verbs = map[string]func(s *stage, a args, items []string, out io.Writer) error{
	"remember": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.Remember(s.ctx, a.episode(), a.options())
		return sayWritten(out, w, err)
	},
	"batch": func(s *stage, a args, items []string, out io.Writer) error {
		var es []memory.Episode
		for _, it := range items {
			es = append(es, parseArgs(s.t, it).episode())
		}
		b, err := s.space.RememberBatch(s.ctx, es, a.named["partial"] == "true", a.options())
		return sayBatch(out, b, err)
	},
	"update": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.Update(s.ctx, a.id(), func(e *memory.Episode) error {
			n := a.episode()
			if n.ID != "" {
				e.ID = n.ID
			}
			if n.Text != "" {
				e.Text = n.Text
			}
			if n.Tags != nil {
				e.Tags = n.Tags
			}
			if n.Vector != nil {
				e.Vector = n.Vector
			}
			if n.ExpiresAt != nil {
				e.ExpiresAt = n.ExpiresAt
			}
			if a.named["novector"] != "" {
				e.Vector = nil
			}
			return nil
		}, a.options())
		return sayWritten(out, w, err)
	},
	"get": func(s *stage, a args, _ []string, out io.Writer) error {
		o := engram.ReadOptions{AsOf: s.marks[a.named["as_of"]], AsOfLSN: memory.LSN(a.int("as_of_lsn")),
			Links: a.named["links"] != "", Versions: a.named["versions"] != "", Vector: a.named["vector"] != ""}
		m, err := s.space.Get(s.ctx, a.id(), o)
		if err == nil {
			sayMemory(out, &m)
		}
		return err
	},
	"get_many": func(s *stage, a args, _ []string, out io.Writer) error {
		found, missing, err := s.space.GetMany(s.ctx, a.ids(), engram.ReadOptions{})
		for i := range found {
			fmt.Fprintln(out, found[i].ID)
		}
		if len(missing) > 0 {
			fmt.Fprintln(out, "missing:", missing)
		}
		return err
	},
	"list": func(s *stage, a args, _ []string, out io.Writer) error {
		q := engram.ListQuery{Filter: a.filter(), Order: engram.ListOrder(a.named["order"]), PageSize: a.int("page")}
		if len(a.words) > 0 && a.words[0] == "more" {
			q.PageToken = s.token
		} else if t, ok := a.named["token"]; ok {
			q.PageToken = t
		}
		p, err := s.space.List(s.ctx, q)
		if err != nil {
			return err
		}
		s.token = p.NextPageToken
		for i := range p.Memories {
			fmt.Fprintf(out, "%s v%d\n", p.Memories[i].ID, p.Memories[i].Version)
		}
		if s.token != "" {
			fmt.Fprintln(out, "...")
		}
		return nil
	},
	"recall": func(s *stage, a args, _ []string, out io.Writer) error {
		c := memory.Cue{Text: a.named["text"], Vector: a.vector("vector"), IDs: a.ids(), Filter: a.filter(), Mode: memory.Mode(a.named["mode"]),
			Order: memory.Order(a.named["order"]), Limit: a.int("limit"), Explain: a.named["explain"] != "", IncludeVector: a.named["include"] == "vector"}
		if n := a.int("budget"); n != 0 {
			c.Budget = &memory.Budget{Tokens: n, Tokenizer: a.named["tokenizer"]}
		}
		c.Stages = memory.Stages{NoText: a.named["off"] == "text", NoVector: a.named["off"] == "vector"}
		r, err := s.space.Recall(s.ctx, c)
		if err != nil {
			return err
		}
		for i := range r.Results {
			sayResult(out, &r.Results[i])
		}
		if len(r.Results) == 0 {
			fmt.Fprintln(out, "nothing")
		}
		return nil
	},
	"delete": func(s *stage, a args, _ []string, out io.Writer) error {
		mode, err := memory.ParseForgetMode(a.named["mode"])
		if err != nil {
			return err
		}
		f, err := s.space.Delete(s.ctx, a.id(), mode, erasureWait, a.options())
		return sayForgotten(out, f, err)
	},
	"forget": func(s *stage, a args, _ []string, out io.Writer) error {
		q, err := a.forget()
		if err != nil {
			return err
		}
		f, err := s.space.Forget(s.ctx, q, erasureWait, a.options())
		return sayForgotten(out, f, err)
	},
	"restore": func(s *stage, a args, _ []string, out io.Writer) error {
		q, err := a.forget()
		if err != nil {
			return err
		}
		f, err := s.space.Restore(s.ctx, q, a.options())
		return sayForgotten(out, f, err)
	},
	"entity": func(s *stage, a args, _ []string, out io.Writer) error {
		e := memory.Entity{ID: a.id(), Name: a.named["name"], Type: a.named["type"], Aliases: a.list("aliases")}
		a.json("metadata", &e.Metadata)
		w, err := s.space.PutEntity(s.ctx, e, a.options())
		return sayWritten(out, w, err)
	},
	"get_entity": func(s *stage, a args, _ []string, out io.Writer) error {
		e, err := s.space.Entity(s.ctx, a.id())
		if err == nil {
			fmt.Fprintf(out, "%s v%d %s %q %v\n", e.ID, e.Version, e.Type, e.Name, e.Aliases)
		}
		return err
	},
	"update_entity": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.UpdateEntity(s.ctx, a.id(), func(e *memory.Entity) error {
			e.Name = a.named["name"]
			if id := a.named["id"]; id != "" {
				e.ID = memory.ID(id)
			}
			return nil
		}, a.options())
		return sayWritten(out, w, err)
	},
	"delete_entity": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.DeleteEntity(s.ctx, a.id(), a.options())
		return sayWritten(out, w, err)
	},
	"entities": func(s *stage, a args, _ []string, out io.Writer) error {
		token := ""
		if len(a.words) > 0 {
			token = s.token
		}
		es, next, err := s.space.Entities(s.ctx, a.named["type"], a.int("page"), token)
		for i := range es {
			fmt.Fprintf(out, "%s %s %q\n", es[i].ID, es[i].Type, es[i].Name)
		}
		if s.token = next; next != "" {
			fmt.Fprintln(out, "...")
		}
		return err
	},
	"link": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.Link(s.ctx, a.link(), a.options())
		return sayWritten(out, w, err)
	},
	"link_batch": func(s *stage, a args, items []string, out io.Writer) error {
		var ls []memory.Link
		for _, it := range items {
			ls = append(ls, parseArgs(s.t, it).link())
		}
		b, err := s.space.LinkBatch(s.ctx, ls, a.named["partial"] == "true", a.options())
		return sayBatch(out, b, err)
	},
	"get_link": func(s *stage, a args, _ []string, out io.Writer) error {
		l, err := s.space.GetLink(s.ctx, a.id())
		if err == nil {
			sayLink(out, &l)
		}
		return err
	},
	"update_link": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.UpdateLink(s.ctx, a.id(), func(l *memory.Link) error {
			n := a.link()
			l.Weight, l.Metadata = n.Weight, n.Metadata
			if to := a.named["to_node"]; to != "" {
				l.To = memory.ID(to)
			}
			return nil
		}, a.options())
		return sayWritten(out, w, err)
	},
	"unlink": func(s *stage, a args, _ []string, out io.Writer) error {
		w, err := s.space.Unlink(s.ctx, a.id(), a.options())
		return sayWritten(out, w, err)
	},
	"links": func(s *stage, a args, _ []string, out io.Writer) error {
		d, err := memory.ParseDirection(a.named["direction"])
		if err != nil {
			return err
		}
		q := engram.LinkQuery{Node: a.id(), Direction: d, Types: a.list("types"), PageSize: a.int("page")}
		if t := a.time("as_of"); t != nil {
			q.AsOf = *t
		}
		if len(a.words) > 1 {
			q.PageToken = s.token
		}
		ls, next, err := s.space.Links(s.ctx, q)
		for i := range ls {
			sayLink(out, &ls[i])
		}
		if s.token = next; next != "" {
			fmt.Fprintln(out, "...")
		}
		return err
	},
	"events": func(s *stage, a args, _ []string, out io.Writer) error {
		es, next, err := s.space.Events(s.ctx, engram.EventQuery{After: memory.LSN(a.int("after")), Types: a.list("types"), Filter: a.filter(), Limit: a.int("limit")})
		if err != nil {
			return err
		}
		for i := range es {
			sayEvent(out, &es[i])
		}
		fmt.Fprintln(out, "next:", next)
		return nil
	},
	"counts": func(s *stage, _ args, _ []string, out io.Writer) error {
		i, err := s.space.Info(s.ctx)
		if err == nil {
			fmt.Fprintf(out, "episodes=%d entities=%d links=%d lsn=%d horizon=%d\n", i.Counts.Episodes, i.Counts.Entities, i.Counts.Links, i.LSN, i.Horizon)
		}
		return err
	},
	"space": func(s *stage, a args, _ []string, out io.Writer) error {
		info, created, err := s.db.CreateSpace(s.ctx, memory.SpaceName(a.words[0]), a.settings())
		if err == nil {
			fmt.Fprintf(out, "%s created=%v v%d\n", info.Name, created, info.Version)
		}
		return err
	},
	"use": func(s *stage, a args, _ []string, _ io.Writer) (err error) {
		s.name = memory.SpaceName(a.words[0])
		s.space, err = s.db.Space(s.name)
		return err
	},
	"spaces": func(s *stage, a args, _ []string, out io.Writer) error {
		infos, err := s.db.Spaces(s.ctx, memory.SpaceName(a.named["after"]), 10)
		for _, i := range infos {
			fmt.Fprintf(out, "%s episodes=%d\n", i.Name, i.Counts.Episodes)
		}
		return err
	},
	"update_space": func(s *stage, a args, _ []string, out io.Writer) error {
		info, err := s.db.UpdateSpace(s.ctx, memory.SpaceName(a.words[0]), uint32(a.int("if_match")), func(st *memory.Settings) error {
			n := a.settings()
			if n.Horizon != 0 {
				st.Horizon = n.Horizon
			}
			if n.Language != "" {
				st.Language = n.Language
			}
			if n.Vector.Dimension != 0 {
				st.Vector = n.Vector
			}
			return nil
		})
		if err == nil {
			fmt.Fprintf(out, "%s v%d horizon=%v\n", info.Name, info.Version, info.Settings.Horizon)
		}
		return err
	},
	"drop": func(s *stage, a args, _ []string, out io.Writer) error {
		j, err := s.db.DropSpace(s.ctx, memory.SpaceName(a.words[0]))
		if err == nil {
			s.waitJob(j.ID, out)
		}
		return err
	},
	"advance": func(s *stage, a args, _ []string, _ io.Writer) error {
		d, err := time.ParseDuration(a.words[0])
		s.clock.Advance(d)
		return err
	},
	"mark": func(s *stage, a args, _ []string, _ io.Writer) error {
		s.marks[a.words[0]] = s.clock.Now()
		return nil
	},
	"restart": func(s *stage, _ args, _ []string, _ io.Writer) error { s.close(); s.open(); return nil },
	"crash":   func(s *stage, _ args, _ []string, _ io.Writer) error { s.crash(); return nil },
}

func (a args) settings() memory.Settings {
	st := memory.Settings{Language: a.named["language"], Vector: memory.VectorSettings{Dimension: a.int("dimension"), Metric: memory.Metric(a.named["metric"]), Model: a.named["model"]}}
	if h := a.named["horizon"]; h != "" {
		st.Horizon, _ = time.ParseDuration(h)
	}
	return st
}

func (a args) forget() (engram.ForgetQuery, error) {
	mode, err := memory.ParseForgetMode(a.named["mode"])
	q := engram.ForgetQuery{IDs: a.ids(), Mode: mode, DryRun: a.named["dry_run"] != "", Max: a.int("max"), Reason: a.named["reason"]}
	if f := a.filter(); !f.IsEmpty() || a.named["filter"] != "" {
		q.Filter = &f
	}
	return q, err
}

// waitJob waits until a job has ended and says how.
func (s *stage) waitJob(id string, out io.Writer) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		j, err := s.db.Job(id)
		if err != nil {
			s.t.Fatal(err)
		}
		if j.State != engram.JobRunning {
			fmt.Fprintf(out, "%s %s\n", j.Kind, j.State)
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("job %s does not end", j.Kind)
		}
		<-time.After(time.Millisecond)
	}
}

func sayWritten(out io.Writer, w engram.Written, err error) error {
	if err == nil {
		fmt.Fprintf(out, "%s %s v%d lsn=%d%s\n", w.Outcome, w.ID, w.Version, w.LSN, sayReplayed(w.Replayed))
	}
	return err
}

func sayReplayed(r bool) string {
	if r {
		return " replayed"
	}
	return ""
}

func sayBatch(out io.Writer, b engram.BatchWritten, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stored=%d failed=%d%s\n", b.Stored, b.Failed, sayReplayed(b.Replayed))
	for _, it := range b.Items {
		if it.Err != nil {
			fmt.Fprintln(out, sayError(it.Err))
		} else {
			_ = sayWritten(out, it.Written, nil)
		}
	}
	return nil
}

func sayForgotten(out io.Writer, f engram.Forgotten, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "matched=%d forgotten=%d lsn=%d%s", f.Matched, f.Forgotten, f.LSN, sayReplayed(f.Replayed))
	if len(f.Missing) > 0 {
		fmt.Fprintf(out, " missing=%v", f.Missing)
	}
	if f.Job != nil {
		fmt.Fprintf(out, " job=%s", f.Job.State)
	}
	fmt.Fprintln(out)
	return nil
}

func sayMemory(out io.Writer, m *memory.Memory) {
	fmt.Fprintf(out, "%s v%d lsn=%d %q", m.ID, m.Version, m.LSN, m.Text)
	for _, f := range []struct {
		name string
		v    any
		say  bool
	}{{"tags", m.Tags, m.Tags != nil}, {"vector", m.Vector, m.Vector != nil}, {"suppressed", m.Suppressed, m.Suppressed}, {"links", len(m.LinksOf), m.LinksOf != nil}} {
		if f.say {
			fmt.Fprintf(out, " %s=%v", f.name, f.v)
		}
	}
	for _, v := range m.Versions {
		fmt.Fprintf(out, " v%d@%d", v.Version, v.LSN)
	}
	fmt.Fprintln(out)
}

// sayResult names the stages that spoke for a result, in their order.
func sayResult(out io.Writer, r *engram.Result) {
	var stages []string
	for _, p := range r.Parts {
		stage := p.Stage
		if p.Note != "" {
			stage += "(" + p.Note + ")"
		}
		stages = append(stages, stage)
	}
	fmt.Fprintf(out, "%s by %s", r.Memory.ID, strings.Join(stages, "+"))
	if r.Memory.Vector != nil {
		fmt.Fprintf(out, " %v", r.Memory.Vector)
	}
	fmt.Fprintln(out)
}

func sayLink(out io.Writer, l *memory.Link) {
	fmt.Fprintf(out, "%s: %s -%s-> %s weight=%g v%d rule=%s", l.ID, l.From, l.Type, l.To, l.Weight, l.Version, l.Rule)
	if l.Metadata != nil {
		b, _ := json.Marshal(l.Metadata)
		fmt.Fprintf(out, " %s", b)
	}
	fmt.Fprintln(out)
}

func sayEvent(out io.Writer, e *engram.Event) {
	fmt.Fprintf(out, "%d %s %s %s", e.LSN, e.Type, e.Kind, e.ID)
	if e.Mode != "" {
		fmt.Fprintf(out, " %s", e.Mode)
	}
	if e.Memory == nil && e.Entity == nil && e.Link == nil {
		fmt.Fprint(out, " (gone)")
	}
	fmt.Fprintln(out)
}
