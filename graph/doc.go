// Package graph knows what is linked to what: adjacency, fan, and spreading
// activation.
//
// # What is here
//
// A Graph holds the links of one space on the ordinals of its nodes: typed,
// weighted, directed, parallel ones allowed. [Graph.Spread] lets activation run
// from seeds along them and says by which paths it came; [Graph.Activate] is the same
// for who ranks it with other things. [Wake] and [Blend] are the recipe that turns
// likeness into seeds and activation into a ranking: of the few that are wanted, hints
// are asked about those alone that can be among them. Package rules, below this one,
// proposes links for new memories.
//
// It is an index: it follows the journal, holds what stands now, and can be made
// again from the links of the state. The exact weight, the properties and the
// valid time of a link stay in the store.
//
// # Adjacency
//
// The problem: a million links must fit in 24 MB, be walked at memory speed from
// both ends, and change one at a time, while one node has one link and another a
// million.
//
//   - A link is an entry of one word in the list of either end: type, other end,
//     and a weight of 16 bits. The list of its beginning has 4 bytes more: a tag, 32
//     bits of its id, which tells parallel links apart. (From, to, type, tag) is its
//     identity here; the store finds the id again among the links of that pair. A
//     table from link numbers to places was left out: it costs 8 bytes a link, and
//     places move.
//   - Lists are sorted: what is found there does not depend on the order in which
//     links came, an entry is found by halving, and the links of a type lie together.
//   - Lists of up to 64 lie in two columns, in pieces just long enough, with no
//     pointer and no allocation of their own. Longer ones are hubs: sorted chunks of
//     at most 512, and for each type how many there are, the greatest weight and the
//     sum of all. The sum is a fixed-point number wide enough for every float32, so
//     it too does not depend on what has been.
//   - Degree is a field; fan looks at 64 entries at most.
//
// # Spreading activation
//
// Activation is a number inside one query. It goes in waves. In each, every node
// that the last wave reached passes on what it got from it, once:
//
//	message(u->v) = (inflow(u) - what u got straight from v) * decay * flow(type, direction) * share(link)
//
// The share is the fan effect: of one type and direction the links of u divide
// what goes that way by their weights. What a node is activated by is what it had as a
// seed and all messages to it; so it is the sum over paths from seeds, each the
// product of its factors, and the same path is never counted twice. Paths do not turn
// straight back, else every neighbour would tell a seed what the seed had told it;
// they may go round a cycle, shrinking, until the bound on hops. A self-loop carries nothing.
// A message below the threshold is not sent: so a hub whose links would carry too
// little costs one comparison. When the links to be looked at are more than MaxWork,
// the weakest nodes do not fire, and the result says so.
//
// From which follows, and is tested: activation grows with every seed; it does not
// depend on the order of links, seeds or processors; where the flows of a node sum to at
// most 1, all waves together are at most seeds/(1-decay); explanations sum to what
// they explain.
//
// Where it comes from: decay with distance and the fan are Collins and Loftus (1975)
// and Anderson (ACT*, 1983); walks whose probability divides over links are Page et
// al. (1999), and pushing only what is above a threshold is the local push of
// Andersen, Chung and Lang (2006). A wave at a time is their push in a fixed order: it costs
// some work and makes hops, paths and the answer itself well defined. ACT-R's
// association S - ln(fan) becomes negative at a fan of 8 for the usual S of 2 and has no
// sum that is bounded; [FanLog] has its slope.
//
// # Concurrency
//
// A Graph holds no lock. Its owner holds one sync.RWMutex: for reading round Spread,
// Neighbours, Tags, Degree, Fan, Types, Stats and Save, which may run at the same time, and
// for writing round Put, End and EndNode. Spread keeps scratch in a pool: four bytes
// for each ordinal of the space and 24 for each message.
//
// # Known holes
//
// Links are those that stand now: an older view, and valid time, are the caller's
// to filter. The name of a type stays when its last link has ended. Growing copies the
// columns: a tenth of a second for ten million links, once in an eighth of them.
// See also TagOf.
package graph
