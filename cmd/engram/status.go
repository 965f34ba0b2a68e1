package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// A status is one page about a running server.
type status struct {
	Server    string        `json:"server"`
	Ready     bool          `json:"ready"`
	Why       string        `json:"why,omitempty"` // it is not ready
	Version   string        `json:"version"`
	Commit    string        `json:"commit,omitempty"`
	Go        string        `json:"go"`
	Uptime    float64       `json:"uptime_seconds"`
	Spaces    int           `json:"spaces"`
	Open      int           `json:"open_spaces"`
	Queue     int           `json:"commit_queue"`
	Tail      int           `json:"index_tail"`
	Vectors   int           `json:"model_waiting"` // texts that wait for their vectors
	InFlight  int           `json:"requests_in_flight"`
	Streams   int           `json:"streams"`
	Jobs      int           `json:"jobs"`
	Erasures  int           `json:"erasures_pending"`
	Stalled   bool          `json:"write_stalled"`
	Disk      diskStatus    `json:"disk"`
	PerSpace  []spaceStatus `json:"per_space"`
	PerSpaceN int           `json:"per_space_max"`
}

type diskStatus struct {
	Used    int64 `json:"used_bytes"`
	Free    int64 `json:"free_bytes"`
	Reserve int64 `json:"reserve_bytes"`
}

type spaceStatus struct {
	Name     string `json:"name"`
	LSN      uint64 `json:"lsn"`
	Tail     int    `json:"index_tail"`
	Memories uint64 `json:"memories"`
	Bytes    uint64 `json:"bytes"`
}

func statusCommand() *cobra.Command {
	var asJSON, readyOnly bool
	var most int
	var patience time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show on one page how a server is",
		Long: `Show on one page how a server is: its version, since when it runs, whether it is ready, what waits, the
disk, and of each space the newest record and what waits for its indexes.

The status is 5 when the server is not ready. Where keys are wanted, the key has the scope read for all spaces;
--ready alone needs none.`,
		Example: `  engram status
  engram status --ready --wait 30s
  engram status --json`,
		Args: takes(0, 0, ""),
	}
	operate(c, func(ctx context.Context, o *operator) error {
		if most < 1 {
			return usage("--spaces is %d; it is at least 1", most)
		}
		if err := o.awaitReady(ctx, patience); err != nil {
			return err
		}
		if readyOnly {
			return o.readyOnly(ctx, c.OutOrStdout())
		}
		st, err := o.status(ctx, most)
		if err != nil {
			return err
		}
		if err := st.write(c.OutOrStdout(), asJSON); err != nil {
			return err
		}
		if !st.Ready {
			return failed(exitNotNow, "the server is not ready: %s", st.Why)
		}
		return nil
	})
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&readyOnly, "ready", false, "say only whether it is ready, for health checks")
	c.Flags().DurationVar(&patience, "wait", 0, "how long the server may take to get ready")
	c.Flags().IntVar(&most, "spaces", 20, "how many spaces are shown")
	return c
}

// readyLookEvery is how often a server that is awaited is asked.
const readyLookEvery = 50 * time.Millisecond

// awaitReady waits until the server is ready, at most so long. That it is not by then
// is for the caller to find.
func (o *operator) awaitReady(ctx context.Context, patience time.Duration) error {
	if patience < 0 {
		return usage("--wait is %v; it is a time from now on, such as 30s", patience)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if code, _, err := o.page(ctx, "/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyLookEvery):
		}
	}
	return nil
}

// readyOnly says whether the server takes requests.
func (o *operator) readyOnly(ctx context.Context, w io.Writer) error {
	code, body, err := o.page(ctx, "/readyz")
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return failed(exitNotNow, "the server is not ready: %s", refusal("/readyz", code, body).Error())
	}
	_, err = fmt.Fprintln(w, "ready")
	return err
}

// status asks the server.
func (o *operator) status(ctx context.Context, most int) (*status, error) {
	code, body, err := o.page(ctx, "/readyz")
	if err != nil {
		return nil, err
	}
	st := &status{Server: o.base, Ready: code == http.StatusOK, PerSpace: []spaceStatus{}, PerSpaceN: most}
	if !st.Ready {
		st.Why = refusal("/readyz", code, body).Error()
	}
	v, err := o.api.GetVersion(ctx, &engramv1.GetVersionRequest{})
	if err != nil {
		return nil, err
	}
	st.Version, st.Commit, st.Go = v.GetVersion(), v.GetCommit(), v.GetGo()
	f, err := o.figures(ctx)
	if err != nil {
		return nil, err
	}
	st.fill(f)
	spaces, err := o.spaces(ctx, most)
	if err != nil && st.Ready {
		return nil, err
	}
	for _, sp := range spaces {
		st.PerSpace = append(st.PerSpace, spaceStatusOf(sp))
	}
	return st, nil
}

func (st *status) fill(f *figures) {
	whole := func(name string) int { return int(f.sum(name)) }
	st.Uptime = max(float64(f.at.UnixMilli())/1000-f.sum("engram_start_time_seconds"), 0)
	st.Spaces, st.Open = whole("engram_spaces"), whole("engram_open_spaces")
	st.Queue, st.Tail = whole("engram_commit_queue"), whole("engram_index_tail")
	st.Vectors = whole("engram_model_waiting")
	st.InFlight, st.Streams = whole("engram_requests_in_flight"), whole("engram_streams")
	st.Jobs, st.Erasures = whole("engram_jobs"), whole("engram_erasures_pending")
	st.Stalled = f.sum("engram_write_stalled") > 0
	st.Disk = diskStatus{int64(f.sum("engram_disk_used_bytes")), int64(f.sum("engram_disk_free_bytes")), int64(f.sum("engram_disk_reserve_bytes"))}
}

func spaceStatusOf(sp *engramv1.Space) spaceStatus {
	s := spaceStatus{Name: sp.GetName(), LSN: sp.GetLsn(), Memories: sp.GetCounts().GetEpisodes(), Bytes: sp.GetBytes()}
	for _, ix := range sp.GetIndexes() {
		s.Tail = max(s.Tail, int(ix.GetTail()))
	}
	return s
}

func (st *status) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(st)
	}
	var t table
	ready := "ready"
	if !st.Ready {
		ready = "not ready: " + st.Why
	}
	t.add("server", st.Server)
	t.add("state", ready)
	t.add("version", st.Version+" "+st.Commit+" "+st.Go)
	t.add("uptime", (time.Duration(st.Uptime) * time.Second).String())
	t.add("spaces", fmt.Sprintf("%d, %d of them open", st.Spaces, st.Open))
	t.add("requests", fmt.Sprintf("%d worked on, %d streams", st.InFlight, st.Streams))
	waits := fmt.Sprintf("%d writes, %d changes for indexes, %d vectors to make, %d jobs, %d erasures", st.Queue, st.Tail, st.Vectors, st.Jobs, st.Erasures)
	if st.Stalled {
		waits += "; the store holds writes back"
	}
	t.add("waiting", waits)
	t.add("disk", fmt.Sprintf("%s used, %s free, %s in reserve", bytesText(float64(st.Disk.Used)), bytesText(float64(st.Disk.Free)), bytesText(float64(st.Disk.Reserve))))
	if err := t.print(w); err != nil {
		return err
	}
	spaces := table{header: []string{"SPACE", "LSN", "TAIL", "MEMORIES", "BYTES"}}
	for _, s := range st.PerSpace {
		spaces.add(s.Name, strconv.FormatUint(s.LSN, 10), strconv.Itoa(s.Tail), strconv.FormatUint(s.Memories, 10), bytesText(float64(s.Bytes)))
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	err := spaces.print(w)
	if more := st.Spaces - len(st.PerSpace); more > 0 && err == nil {
		_, err = fmt.Fprintf(w, "and %d more: engram space list\n", more)
	}
	return err
}
