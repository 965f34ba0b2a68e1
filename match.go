package engram

import (
	"github.com/engramdb/engram/memory"
)

// conditional says whether a version must stand.
func (o *WriteOptions) conditional() bool {
	return o.IfMatch != 0 || o.IfLSN != 0 || !o.IfStored.IsZero()
}

// none is the answer when nothing stands: version_mismatch, if anything must.
func (o *WriteOptions) none(what string) error {
	if !o.conditional() {
		return nil
	}
	return versionMismatch(what, o.IfMatch, 0)
}

// matches is version_mismatch unless what stands is the version that must.
func (o *WriteOptions) matches(what string, stands Written) error {
	if o.IfMatch != 0 && o.IfMatch != stands.Version {
		return versionMismatch(what, o.IfMatch, stands.Version)
	}
	if o.IfLSN != 0 && o.IfLSN != stands.LSN || !o.IfStored.IsZero() && !o.IfStored.Equal(stands.StoredAt) {
		return memory.Errorf(memory.KindPrecondition, "version_mismatch", "%s is not the one that If-Match asks for: version %d was stored anew under the id", what, stands.Version).
			Hinted("read it again and decide anew").With("version", stands.Version)
	}
	return nil
}
