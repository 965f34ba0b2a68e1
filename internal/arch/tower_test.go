package arch

// module is the path that every package of ours starts with.
const module = "github.com/engramdb/engram"

// A room is a package with all that lies below its folder. Rooms of the tower
// import lower levels only; leaves may be used by anyone and use only leaves;
// what stands beside the tower names what it may import.
type room struct {
	path  string // below the module root; "" is the root package alone
	level int
	says  string // one sentence: what it holds or does
	opens []string
	tries []string // what its tests may open besides
}

// Levels that are not floors of the tower.
const (
	leaf   = -1 // anyone may import it
	beside = -2 // may import only what stands in its opens
)

// anything, in a room's opens, lets it import every room.
const anything = "*"

var rooms = []room{
	{path: "memory", level: 0, says: "the words: plain values, validation, no I/O, no locks"},
	{path: "retention", level: 0, says: "forgetting curves, stability, the spacing effect: pure arithmetic"},
	{path: "vector", level: 0, says: "distances, norms, quantised forms: the fast kernels and their plain twins"},

	{path: "store", level: 1, says: "the durable journal, payloads and state on Pebble"},
	{path: "ann", level: 1, says: "nearest vectors"},
	{path: "text", level: 1, says: "tokens, passages and the BM25 index"},
	{path: "facet", level: 1, says: "which memories have what: bitmaps and columns from which filters are answered"},
	{path: "graph", level: 1, says: "adjacency, fan, spreading activation, pattern matching"},
	{path: "embed", level: 1, says: "text to vector"},

	{path: "recall", level: 2, says: "from a cue to ranked memories with confidence and reasons"},
	{path: "consolidation", level: 2, says: "reads a fixed view, forms concepts and bindings, returns plans"},
	{path: "completion", level: 2, says: "rebuilds a whole memory from a part"},
	{path: "backup", level: 2, says: "copy, archive, verify, prune, restore, point in time"},

	{path: "query", level: 3, says: "the query language, against an interface that the root satisfies"},

	{path: "", level: 4, says: "the database: open, spaces, one file per verb; owns every goroutine"},

	{path: "transfer", level: 4, says: "import and export: foreign formats and JSONL, batches, progress, digests"},

	{path: "server/wirejson", level: 0, says: "the JSON of the schema's messages, strict to read and stable to write"},
	{path: "server", level: 5, says: "protocols, keys, limits, streams, versions"},
	{path: "ops", level: 5, says: "health, resource watch, jobs, diagnosis, migration flags"},

	{path: "cmd/engram", level: 6, says: "the command line, one file per command"},

	{path: "internal/best", level: leaf, says: "the best few of many: the bounded heap under every ranking"},
	{path: "internal/clock", level: leaf, says: "the time as an argument"},
	{path: "internal/saved", level: leaf, says: "how saved indexes lie on disk: frames that are read through, pages that are mapped"},
	{path: "internal/sched", level: leaf, says: "work behind calls gives way to threads that wake"},
	{path: "internal/telemetry", level: leaf, says: "metrics, traces and logs"},
	{path: "internal/arch", level: leaf, says: "the rules of the house as tests"},

	{path: "proto", level: beside, says: "the schema and what is generated from it"},
	{path: "clients", level: beside, says: "clients in several languages", opens: []string{"proto"}},
	{path: "clients/go", level: beside, says: "the Go client: the generated one with retries, idempotency, read-your-writes, iterators", opens: []string{"proto", "memory"}, tries: []string{"", "server"}},
	{path: "examples", level: beside, says: "what a newcomer runs first: one small program a door", opens: []string{anything}},
	{path: "web", level: beside, says: "the console, embedded"},
	{path: "bench", level: beside, says: "load generator, scenarios, comparisons", opens: []string{anything}},
	{path: "acceptance", level: beside, says: "the acceptance tasks", opens: []string{anything}},
	{path: "lab", level: beside, says: "the cognitive experiments", opens: []string{anything}},
}

// An arrow is an import that is forbidden for a reason of its own, whatever the
// levels say. An empty list of rooms stands for all others.
type arrow struct {
	from, to []string
	why      string
}

var belowRoot = []string{"store", "ann", "text", "facet", "graph", "embed", "recall", "consolidation", "completion"}

var arrows = []arrow{
	{to: []string{"bench"}, why: "bench measures the product; what the product needs does not live there"},
	{to: []string{"acceptance", "lab"}, why: "acceptance and lab try the product out; nothing may depend on a trial"},
	{to: []string{"cmd/engram"}, why: "the command line is the outermost door; what others need of it belongs in a room below"},
	{to: []string{"internal/arch"}, why: "arch is tests"},
	{from: []string{"memory"}, to: []string{"retention", "vector"}, why: "memory is the words alone; who computes with them stands elsewhere"},
	{from: []string{"server"}, to: belowRoot, why: "server translates and decides nothing about memory: it speaks to the root, or two doors would answer differently"},
	// but for embed: the command line says which models are in the program
	{from: []string{"cmd/engram"}, to: []string{"store", "ann", "text", "facet", "graph", "recall", "consolidation", "completion"}, why: "the command line goes through the root or ops, so that it obeys what every other door obeys"},
	{from: []string{"ops"}, to: []string{"ann", "text", "facet", "graph", "embed", "recall", "consolidation", "completion"}, why: "ops asks the root how things are; it does not look into the indexes behind its back"},
	{from: []string{"query"}, to: []string{"store", "ann", "text", "facet", "graph", "embed"}, why: "query runs against an interface that the root satisfies, so that it can be tested without a database"},
	{from: []string{"consolidation"}, to: []string{"recall"}, why: "consolidation plans from a fixed view; a plan that depended on ranking would change with every weight"},
	{from: []string{"recall"}, to: []string{"consolidation"}, why: "recall reads and writes nothing; it sees concepts as stored state"},
	{from: []string{"ann", "text", "facet", "graph"}, to: []string{"store"}, why: "indexes are followers: the root feeds them, and they can be thrown away without the store knowing"},
	{from: []string{"store"}, to: []string{"ann", "text", "facet", "graph"}, why: "the journal is the database; indexes follow it and must not hold a commit back"},
}

// mayOpen are the imports between the tower and what stands beside it.
var mayOpen = []struct {
	from, to []string
	why      string
}{
	{from: []string{"server", "server/wirejson", "transfer", "cmd/engram"}, to: []string{"proto"}, why: "the doors speak the schema"},
	{from: []string{"server", "cmd/engram"}, to: []string{"web"}, why: "the console is served by the same port"},
	{from: []string{"cmd/engram"}, to: []string{"clients/go"}, why: "client commands use the Go client"},
}

// A library is code of others, the rooms that may use it and why no other may.
// Packages are matched by the longest path.
type library struct {
	path  string
	rooms []string
	why   string
}

var libraries = []library{
	{"github.com/cockroachdb/pebble/v2", []string{"store", "bench"}, "only the store knows which engine is below it: it could be changed in one room"},
	{"github.com/cockroachdb/pebble/v2/vfs", []string{"store", "", "backup", "bench"}, "files are opened through the store's file system, which Options hands down"},
	{"github.com/fxamacker/cbor/v2", []string{"store", "", "backup"}, "what lies on disk is encoded in one place"},
	{"github.com/google/uuid", []string{"memory", "server"}, "ids are made where the words are, request ids at the door"},
	{"github.com/RoaringBitmap/roaring/v2", []string{"facet", "text", "ann", "graph", "recall", ""}, "sets of ordinals are for indexes and those who ask them"},
	{"github.com/bits-and-blooms/bitset", []string{"facet", "text", "ann", "graph", "recall", "", "bench"}, "sets of ordinals are for indexes and those who ask them"},
	{"github.com/blevesearch/snowballstem", []string{"text"}, "stems are made where words are analysed, or a query and an index would differ"},
	{"github.com/clipperhouse/uax29/v2", []string{"text"}, "words are cut in one place, or a query and an index would differ"},
	{"golang.org/x/text", []string{"text", "embed", ""}, "words are folded where they are analysed, names of entities where they are matched"},
	{"github.com/cespare/xxhash/v2", []string{"store", "backup", "text", "ann", "facet", "graph", "embed", ""}, "checksums are for those who write files"},
	{"github.com/klauspost/compress", []string{"store", "backup", "bench", "lab"}, "compression is for those who write files"},
	{"golang.org/x/sys", []string{"vector", "store", "ops", "internal/sched", "bench"}, "the processor, the disk and the scheduler are asked where they are used"},
	{"golang.org/x/sync", []string{"store", "", "server", "ops", "bench"}, "goroutines are the root's"},

	{"connectrpc.com/connect", []string{"server", "cmd/engram", "proto", "clients", "clients/go", "bench"}, "protocols end at the door"},
	{"connectrpc.com/grpcreflect", []string{"server"}, "protocols end at the door"},
	{"connectrpc.com/grpchealth", []string{"server"}, "protocols end at the door"},
	{"github.com/coder/websocket", []string{"server"}, "protocols end at the door"},
	{"golang.org/x/time", []string{"server"}, "rates are bounded at the door"},
	{"github.com/grpc-ecosystem/grpc-gateway/v2", []string{"server", "proto"}, "protocols end at the door"},
	{"google.golang.org/grpc", []string{"server", "cmd/engram", "proto", "clients", "clients/go", "bench"}, "protocols end at the door"},
	{"google.golang.org/genproto", []string{"server", "cmd/engram", "proto", "clients", "clients/go", "bench"}, "protocols end at the door"},
	{"google.golang.org/protobuf", []string{"server", "server/wirejson", "transfer", "cmd/engram", "internal/telemetry", "proto", "clients", "clients/go", "bench"}, "below the door memories are memory's values, not messages"},
	{"golang.org/x/net", []string{"server", "clients", "bench"}, "only the doors use the network"},
	{"golang.org/x/crypto", []string{"server", "backup"}, "keys are checked at the door, sealed in backups"},
	{"github.com/modelcontextprotocol/go-sdk", []string{"server", "cmd/engram", "examples"}, "protocols end at the door"},

	{"github.com/spf13/cobra", []string{"cmd/engram"}, "flags and commands are the command line's"},
	{"github.com/spf13/pflag", []string{"cmd/engram"}, "flags and commands are the command line's"},
	{"github.com/knadh/koanf", []string{"cmd/engram"}, "settings are read once, at the outermost door, and passed in"},
	{"github.com/prometheus", []string{"internal/telemetry", "server", "ops", "cmd/engram"}, "the engine gives plain figures (Stats); who shows them decides the format"},
	{"go.opentelemetry.io/proto/otlp", []string{"internal/telemetry"}, "traces are taken through telemetry, so that they can be left out"},
	{"github.com/coreos/go-systemd/v22", []string{"cmd/engram"}, "whoever started the process is spoken to where it starts"},
	{"go.opentelemetry.io/otel", []string{"internal/telemetry", "server", "ops", "cmd/engram"}, "traces are taken through telemetry, so that they can be left out"},

	{"github.com/HdrHistogram/hdrhistogram-go", []string{"bench"}, "latencies are recorded by the load generator"},
	{"gonum.org/v1/gonum", []string{"lab", "bench"}, "statistics are for experiments; the engine's own arithmetic is small and exact"},
}

// testLibraries may be used by the tests of every room.
var testLibraries = []string{
	"pgregory.net/rapid",
	"go.uber.org/goleak",
	"github.com/rogpeppe/go-internal",
	"github.com/anishathalye/porcupine",
	"github.com/cockroachdb/pebble/v2/vfs", // tests run on virtual disks
	"google.golang.org/protobuf",
	"go.opentelemetry.io/proto/otlp", // tests make collectors
}

// A standardBan keeps packages of the standard library out of rooms. Names that
// are listed in but are only values and harmless.
type standardBan struct {
	rooms    []string
	packages []string
	but      []string // selectors that may be used all the same
	why      string
}

var standardBans = []standardBan{
	{
		rooms:    []string{"memory", "retention", "vector"},
		packages: []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "io/ioutil", "path/filepath", "database/sql", "log", "log/slog", "embed", "plugin"},
		why:      "level 0 does no I/O: the same values give the same answer on every machine",
	},
	{
		rooms:    []string{"memory", "retention"},
		packages: []string{"sync", "sync/atomic", "math/rand", "math/rand/v2"},
		why:      "plain values hold no locks and throw no dice",
	},
	{
		rooms:    []string{"store"},
		packages: []string{"os", "os/exec", "os/signal", "io/ioutil", "syscall"},
		but:      []string{"os.ErrNotExist", "os.ErrExist", "os.IsNotExist", "os.IsExist", "os.FileInfo", "os.FileMode", "os.Stderr", "os.Exit"},
		why:      "the store opens files through its vfs.FS alone, so that it runs on a virtual disk; it may only end the process, when an fsync fails",
	},
	{
		rooms:    []string{"ann", "text", "facet", "graph", "recall", "consolidation", "completion", "backup", "query", ""},
		packages: []string{"os", "os/exec", "os/signal", "io/ioutil", "syscall"},
		but:      []string{"os.ErrNotExist", "os.ErrExist", "os.ErrPermission", "os.ErrClosed", "os.IsNotExist", "os.IsExist", "os.FileInfo", "os.FileMode"},
		why:      "files are opened through the store's file system, so that the whole engine runs on a virtual disk",
	},
	{
		rooms:    []string{"store", "ann", "text", "facet", "graph", "recall", "consolidation", "completion", "query", ""},
		packages: []string{"net", "net/http", "net/rpc", "database/sql"},
		why:      "only the doors use the network",
	},
	{
		rooms:    []string{"memory", "retention", "vector", "store", "ann", "text", "facet", "graph", "embed", "recall", "consolidation", "completion", "backup", "query", "", "server", "ops"},
		packages: []string{"log", "expvar", "flag"},
		why:      "a library logs to the logger that it is given and reads no flags",
	},
}
