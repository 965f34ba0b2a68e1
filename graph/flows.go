package graph

import "maps"

// The types of the links that the engine makes by itself (package rules).
const (
	TypeNext     = "next"     // from a memory to the one after it in its stream
	TypeAnswer   = "answer"   // from a memory that asks to the one after it in its stream
	TypeMentions = "mentions" // from a memory to what it names
	TypePeople   = "people"   // from a memory to the one before it with the same person
	TypePlace    = "place"    // from a memory to the one before it at the same place
	TypeShares   = "shares"   // from a memory to the one before it that holds the same rare words
	TypeSimilar  = "similar"  // from a memory to one before it whose vector is near
)

var defaultFlows = map[string]Flow{
	TypeNext:     {Out: 0.8, In: 0.8},
	TypeAnswer:   {Out: 0.5},
	TypeMentions: {Out: 0.8, In: 0.2},
	TypePeople:   {Out: 0.1, In: 0.1},
	TypePlace:    {Out: 0.1, In: 0.1},
	TypeShares:   {Out: 0.1, In: 0.1},
	TypeSimilar:  {Out: 0.1, In: 0.1},
	"":           {Out: 0.8, In: 0.2},
}

// DefaultFlows gives a copy of the flows that Spread uses when it is not told.
func DefaultFlows() map[string]Flow { return maps.Clone(defaultFlows) }
