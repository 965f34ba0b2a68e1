package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

func topCommand() *cobra.Command {
	var once bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch a server: rates and times by verb, what waits, the spaces that are written to",
		Long: `Watch a server until Ctrl-C: requests a second and their times by verb, syncs, what waits, the disk, and
the spaces that are written to most. With --once it shows the mean since the server's start, and ends.

Where keys are wanted, the key has the scope read for all spaces.`,
		Example: `  engram top
  engram top --every 5s
  engram top --once`,
		Args: takes(0, 0, ""),
	}
	operate(c, func(ctx context.Context, o *operator) error {
		if once {
			now, err := o.moment(ctx)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), frame(now.start(), now))
			return err
		}
		if every <= 0 {
			return usage("--every is %v; it is above 0", every)
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		return watch(ctx, c.OutOrStdout(), tick.C, o.moment)
	})
	c.Flags().BoolVar(&once, "once", false, "show the mean since the server's start, and end")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often the view is drawn anew")
	return c
}

// A moment is what top knows of one time.
type moment struct {
	*figures
	lsn  map[string]uint64 // by space
	tail map[string]int
}

// topSpaces bounds how many spaces are asked for; the view shows those of them
// that are written to most.
const (
	topSpaces = 200
	topShown  = 10
)

func (o *operator) moment(ctx context.Context) (*moment, error) {
	f, err := o.figures(ctx)
	if err != nil {
		return nil, err
	}
	spaces, err := o.spaces(ctx, topSpaces)
	if err != nil {
		return nil, err
	}
	return momentOf(f, spaces), nil
}

func momentOf(f *figures, spaces []*engramv1.Space) *moment {
	m := &moment{figures: f, lsn: map[string]uint64{}, tail: map[string]int{}}
	for _, sp := range spaces {
		s := spaceStatusOf(sp)
		m.lsn[s.Name], m.tail[s.Name] = s.LSN, s.Tail
	}
	return m
}

// start is the moment when the server began, with nothing counted yet. Records
// from before it are not its own.
func (m *moment) start() *moment {
	since := time.UnixMilli(int64(m.sum("engram_start_time_seconds") * 1000))
	return &moment{figures: &figures{at: since}, lsn: m.lsn}
}

// watch draws the view at each tick until ctx ends. The first one covers the time
// since the start. A server that does not answer is shown as such: it may come
// back.
func watch(ctx context.Context, w io.Writer, tick <-chan time.Time, look func(context.Context) (*moment, error)) error {
	out := bufio.NewWriter(w)
	var before *moment
	for {
		now, err := look(ctx)
		if ctx.Err() != nil {
			return nil // Ctrl-C is the usual end
		}
		text := ""
		switch {
		case err != nil && before == nil:
			return err
		case err != nil:
			text = "engram: " + oneLine(explain(err).message) + "\n"
		case before == nil || before.sum("engram_start_time_seconds") != now.sum("engram_start_time_seconds"):
			text = frame(now.start(), now)
		default:
			text = frame(before, now)
		}
		if err == nil {
			before = now
		}
		// Each line ends with "erase to the end of the line", the last with "erase
		// below": nothing flickers.
		_, _ = out.WriteString("\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J") // Flush gives the error
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// frame is the view of what happened between two moments.
func frame(before, now *moment) string {
	var b strings.Builder
	seconds := max(now.at.Sub(before.at).Seconds(), 1e-9)
	rate := func(name string) float64 { return max(now.sum(name)-before.sum(name), 0) / seconds }
	syncs := now.spreads("engram_sync_seconds", "")[""].less(before.spreads("engram_sync_seconds", "")[""])
	hits, misses := rate("engram_cache_hits_total"), rate("engram_cache_misses_total")
	var t table
	t.add("uptime", time.Duration(max(float64(now.at.Unix())-now.sum("engram_start_time_seconds"), 0)*1e9).Round(time.Second).String())
	t.add("requests", fmt.Sprintf("%.1f/s, %s worked on, %s streams", rate("engram_requests_total"), countText(now.sum("engram_requests_in_flight")), countText(now.sum("engram_streams"))))
	t.add("records", fmt.Sprintf("%.1f/s in %.1f syncs/s, p50 %s, p99 %s", rate("engram_records_total"), syncs.count()/seconds, timeText(syncs.quantile(.5)), timeText(syncs.quantile(.99))))
	t.add("waiting", fmt.Sprintf("%s of %s writes, %s changes for indexes, %s vectors to make, %s jobs, %s erasures", countText(now.sum("engram_commit_queue")), countText(now.sum("engram_commit_queue_bound")),
		countText(now.sum("engram_index_tail")), countText(now.sum("engram_model_waiting")), countText(now.sum("engram_jobs")), countText(now.sum("engram_erasures_pending"))))
	t.add("cache", fmt.Sprintf("%s of %.1f blocks/s found", percent(hits, hits+misses), hits+misses))
	t.add("disk", fmt.Sprintf("%s used, %s free, %s in reserve; %s compactions", bytesText(now.sum("engram_disk_used_bytes")), bytesText(now.sum("engram_disk_free_bytes")),
		bytesText(now.sum("engram_disk_reserve_bytes")), countText(now.sum("engram_compactions_total"))))
	_ = t.print(&b) // a Builder has no errors
	b.WriteByte('\n')
	verbs := verbTable(before, now, seconds)
	_ = verbs.print(&b)
	b.WriteByte('\n')
	spaces := spaceTable(before, now, seconds)
	_ = spaces.print(&b)
	return b.String()
}

func percent(part, whole float64) string {
	if whole == 0 {
		return "-"
	}
	return strconv.Itoa(int(math.Round(100*part/whole))) + " %"
}

// verbTable lists the verbs that were called, the most often called first.
func verbTable(before, now *moment, seconds float64) table {
	t := table{header: []string{"VERB", "PER SECOND", "FAILED", "P50", "P99"}}
	calls, earlier := now.by("engram_requests_total", "verb"), before.by("engram_requests_total", "verb")
	well, wellBefore := now.well(), before.well()
	times, timesBefore := now.spreads("engram_request_seconds", "verb"), before.spreads("engram_request_seconds", "verb")
	for _, verb := range mostFirst(calls, earlier) {
		n := calls[verb] - earlier[verb]
		s := times[verb].less(timesBefore[verb])
		t.add(verb, fmt.Sprintf("%.1f", n/seconds), percent(n-(well[verb]-wellBefore[verb]), n), timeText(s.quantile(.5)), timeText(s.quantile(.99)))
	}
	return t
}

// well counts the requests without an error, by verb.
func (m *moment) well() map[string]float64 {
	out := map[string]float64{}
	for _, x := range m.families["engram_requests_total"].GetMetric() {
		verb, outcome := "", ""
		for _, l := range x.GetLabel() {
			switch l.GetName() {
			case "verb":
				verb = l.GetValue()
			case "outcome":
				outcome = l.GetValue()
			}
		}
		if outcome == "ok" {
			out[verb] += valueOf(x)
		}
	}
	return out
}

// spaceTable lists the spaces that were written to most.
func spaceTable(before, now *moment, seconds float64) table {
	t := table{header: []string{"SPACE", "LSN", "RECORDS PER SECOND", "TAIL"}}
	names := slices.SortedFunc(maps.Keys(now.lsn), func(a, b string) int {
		return cmp.Or(cmp.Compare(grown(before, now, b), grown(before, now, a)), cmp.Compare(now.tail[b], now.tail[a]), cmp.Compare(a, b))
	})
	for _, name := range names[:min(topShown, len(names))] {
		t.add(name, strconv.FormatUint(now.lsn[name], 10), fmt.Sprintf("%.1f", grown(before, now, name)/seconds), strconv.Itoa(now.tail[name]))
	}
	return t
}

// grown is how many records a space got; all of them when it is new.
func grown(before, now *moment, name string) float64 {
	return max(float64(now.lsn[name])-float64(before.lsn[name]), 0)
}

// mostFirst lists what has grown, by how much, then by name.
func mostFirst(now, before map[string]float64) []string {
	var names []string
	for name := range now {
		if now[name] > before[name] {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(now[b]-before[b], now[a]-before[a]), cmp.Compare(a, b))
	})
	return names
}
