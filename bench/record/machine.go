package record

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/engramdb/engram/bench/load"
)

// Machine is where something was measured. A figure without it means nothing.
type Machine struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryGB float64 `json:"memory_gb"`
	Kernel   string  `json:"kernel"`
	Go       string  `json:"go"`
	// A 4 KiB append with fdatasync, measured right before the benchmark.
	SyncP50Millis float64 `json:"sync_p50_ms"`
	SyncP99Millis float64 `json:"sync_p99_ms"`
	Load          float64 `json:"load"` // of the last minute, when the run began: others were at work
}

// ThisMachine looks at the machine and measures the disk that holds dir.
func ThisMachine(dir string) (Machine, error) {
	m := Machine{
		CPU: lineAfter("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Kernel: runtime.GOOS + " " + firstField("/proc/sys/kernel/osrelease"),
		Go:     runtime.Version() + " " + runtime.GOARCH,
	}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	var kb float64
	if _, err := fmt.Sscan(lineAfter("/proc/meminfo", "MemTotal"), &kb); err == nil {
		m.MemoryGB = float64(int(kb/1024/1024*10)) / 10
	}
	// Where there is no load average, it stays 0.
	_, _ = fmt.Sscan(firstField("/proc/loadavg"), &m.Load)
	syncs, err := measureSync(dir)
	if err != nil {
		return m, fmt.Errorf("measure the disk: %w", err)
	}
	m.SyncP50Millis = float64(syncs.At(0.50)) / float64(time.Millisecond)
	m.SyncP99Millis = float64(syncs.At(0.99)) / float64(time.Millisecond)
	return m, nil
}

// String is the machine line that stands in every result.
func (m Machine) String() string {
	return fmt.Sprintf("machine: %s, %d cores, %.1f GB, %s, %s, fdatasync of 4 KiB p50 %.3f ms p99 %.3f ms, load %.2f",
		m.CPU, m.Cores, m.MemoryGB, m.Kernel, m.Go, m.SyncP50Millis, m.SyncP99Millis, m.Load)
}

func measureSync(dir string) (*load.Latency, error) {
	f, err := NewSyncFile(dir)
	if err != nil {
		return nil, err
	}
	defer f.Remove()
	l := load.NewLatency()
	page := make([]byte, 4096)
	for range 500 {
		begin := time.Now()
		if err := f.Append(page); err != nil {
			return nil, err
		}
		l.Add(time.Since(begin))
	}
	return l, nil
}

// SyncFile is a plain file to which is appended with fdatasync: what a durable
// write costs when there is no database.
type SyncFile struct{ f *os.File }

// NewSyncFile makes one in dir.
func NewSyncFile(dir string) (*SyncFile, error) {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return nil, err
	}
	return &SyncFile{f}, nil
}

// Append writes b at the end and returns once it is on disk.
func (s *SyncFile) Append(b []byte) error {
	if _, err := s.f.Write(b); err != nil {
		return err
	}
	return datasync(s.f)
}

// Remove closes the file and takes it away.
func (s *SyncFile) Remove() {
	// It was only for measuring: what is left over goes with its folder.
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}

// lineAfter finds "key : value" in a file of /proc; "" when there is none.
func lineAfter(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		k, v, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstField(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	return first
}

// FolderBytes is how much the files below dir take whose names end so.
func FolderBytes(dir, ending string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(d.Name(), ending) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	return n, err
}

// ResidentBytes is how much memory a process takes (0 for this one); 0 when
// the system does not say.
func ResidentBytes(pid int) int64 {
	file := "/proc/self/status"
	if pid != 0 {
		file = fmt.Sprintf("/proc/%d/status", pid)
	}
	var kb int64
	if _, err := fmt.Sscan(lineAfter(file, "VmRSS"), &kb); err != nil {
		return 0
	}
	return kb << 10
}
