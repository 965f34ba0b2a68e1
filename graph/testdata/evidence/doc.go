// Package evidence measures the rules, the spread and the recipe of package graph
// on real questions (ENGRAM_DATA), with likeness by words alone and by words and a
// built-in model. It is run by hand:
//
//	ENGRAM_DATA=... go test -v -timeout 30m ./graph/testdata/evidence
//
// It stands below testdata because a package of the tower may not import its
// neighbours, not even for a test.
package evidence
