package recall

import "github.com/engramdb/engram/memory"

// byThen leaves out what happened after a time: it was not so yet. What has no valid time
// stays, as it may have been so all along.
func (r *run) byThen() {
	if r.Cue.AsOf.Valid.IsZero() {
		return
	}
	after := memory.Filter{Happened: &memory.Range{From: r.Cue.AsOf.Valid}}
	may, _ := r.Facets.Select(&after, r.View, r.Now)
	may = may.Intersection(r.allowed)
	own := r.allowed.Clone()
	for slot, ok := may.NextSet(0); ok; slot, ok = may.NextSet(slot + 1) {
		if row, found := r.Facets.At(uint32(slot)); found && row.Time.After(r.Cue.AsOf.Valid) {
			own.Clear(slot)
		}
	}
	r.allowed = own
}
