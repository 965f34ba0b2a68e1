package memory

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/google/uuid"
)

// ID names a node or a link inside one space: 1-128 of A-Z a-z 0-9 . _ ~ : @ -,
// and neither "." nor "..". All nodes of a space share one name space of ids.
type ID string

// MaxIDLength is the longest ID in bytes.
const MaxIDLength = 128

// NewID makes an ID that sorts by the time it was made (UUIDv7, RFC 9562).
func NewID() ID {
	return ID(uuid.Must(uuid.NewV7()).String())
}

// Check says whether the ID may be used; field names it in the error.
func (id ID) Check(field string) error {
	if len(id) == 0 {
		return Invalid("id_invalid", field, "%s is empty; an id has 1-%d of A-Z a-z 0-9 . _ ~ : @ -", field, MaxIDLength)
	}
	if len(id) > MaxIDLength {
		return Invalid("id_invalid", field, "%s has %d bytes; an id has at most %d", field, len(id), MaxIDLength)
	}
	if id == "." || id == ".." {
		return Invalid("id_invalid", field, "%s is %q, which is not allowed as an id", field, string(id))
	}
	for i := range len(id) {
		if !idByte[id[i]] {
			return Invalid("id_invalid", field, "%s %s has a character that an id cannot have at byte %d; use A-Z a-z 0-9 . _ ~ : @ -", field, quoted(string(id)), i)
		}
	}
	return nil
}

var idByte = func() (t [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:@-" {
		t[c] = true
	}
	return t
}()

// SpaceName names a space: 1-64 of a-z 0-9 - _, starting with a letter or digit.
type SpaceName string

var spaceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Check says whether the name may be used.
func (n SpaceName) Check() error {
	if !spaceName.MatchString(string(n)) {
		return Invalid("space_name_invalid", "space", "space name %s is not 1-64 of a-z 0-9 - _, starting with a letter or digit", quoted(string(n)))
	}
	return nil
}

// SpaceID is one incarnation of a space: a name that is dropped and made again
// gets another. 0 is the shard's own space, which holds settings and names.
type SpaceID uint32

// LSN numbers the records of one space's journal from 1, without gaps. 0 is
// before the first record.
type LSN uint64

func (l LSN) String() string { return strconv.FormatUint(uint64(l), 10) }

// Ordinal is the dense number of a node inside its space, given at commit and
// never used again; indexes and bitmaps are built on it. 0 is no node.
type Ordinal uint32

// Kind says what a node is.
type Kind uint8

// The kinds of node. Their numbers lie on disk.
const (
	KindEpisode Kind = 1 // something that happened
	KindConcept Kind = 2 // what several episodes have in common
	KindEntity  Kind = 3 // a named thing: an account, a film, a person
)

var kindNames = map[Kind]string{KindEpisode: "episode", KindConcept: "concept", KindEntity: "entity"}

func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind turns a word of the API into a Kind.
func ParseKind(field, s string) (Kind, error) {
	return parseWord(field, s, kindNames)
}
