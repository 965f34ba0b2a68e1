package main

import (
	"maps"
	"testing"
)

func TestNearestParts(t *testing.T) {
	all := len(nearestPartNames)
	for only, want := range map[string]int{"": all, "clustered": all, "minilm,mnist": all, "filters": 1, "clustered,filters,churn": 2} {
		b := &bench{only: only}
		parts := 0
		for on := range maps.Values(b.nearestParts()) {
			if on {
				parts++
			}
		}
		if parts != want || b.namesNearestPart() != (want < all) {
			t.Errorf("-only %q does %d parts, want %d; it names a part: %v", only, parts, want, b.namesNearestPart())
		}
	}
}
