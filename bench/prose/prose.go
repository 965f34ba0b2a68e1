// Package prose makes up passages, names, topics and vectors for benchmarks:
// words follow Zipf's law as in real text, passages keep to a topic, vectors
// stand in clusters, and the same seed gives the same of all.
package prose

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// function words take the first ranks, as they do in English: an index that
// leaves out stop words, or one that does not, meets what it would meet there.
var function = strings.Fields(`the of and to a in is was that it he for on with as his at by had not are but from
or have an they which one you were her all she there would their we him been has when who will more no if out so
said what up its about into than them can only other new some could time these two may then do first any my now
such like our over man me even most made after also did many before must through back years where much your way
well down should because each just those people how too little state good very make world still own see men work
long get here between both life being under never day same another know while last might us great old year off`)

var syllables = strings.Fields(`ba be bo ca ce co da de do fa fe ga go ha he ja ka ke la le lo ma me mi mo na ne no
pa pe po ra re ri ro sa se si so ta te ti to va ve vi wa we za bran cor dal fen gran hol lin mar nor pel quin ros
sten tor ul ver win yar`)

const (
	vocabulary = 50_000
	topics     = 200
	perTopic   = 60  // words that a topic likes
	liking     = 0.3 // share of a passage's words that come from its topic
	exponent   = 1.07
)

// Source makes things up. It is not for several goroutines at once.
type Source struct {
	rng    *rand.Rand
	words  []string
	cum    []float64 // cumulative weights of words by rank
	topics [][]string
	names  []string
}

// New makes a source; what it says depends on the seed alone.
func New(seed uint64) *Source {
	// The vocabulary is the same for every seed, so that sources share words.
	fixed := rand.New(rand.NewPCG(77, 0))
	s := &Source{rng: rand.New(rand.NewPCG(seed, 1)), words: makeWords(fixed)}
	s.cum = make([]float64, len(s.words))
	total := 0.0
	for i := range s.cum {
		total += math.Pow(float64(i)+2.7, -exponent)
		s.cum[i] = total
	}
	for range topics {
		s.topics = append(s.topics, s.someWords(fixed, perTopic))
	}
	for range 2000 {
		s.names = append(s.names, title(word(fixed))+" "+title(word(fixed)))
	}
	return s
}

func makeWords(rng *rand.Rand) []string {
	words := append([]string(nil), function...)
	known := map[string]bool{}
	for _, w := range words {
		known[w] = true
	}
	for len(words) < vocabulary {
		if w := word(rng); !known[w] {
			known[w] = true
			words = append(words, w)
		}
	}
	return words
}

func word(rng *rand.Rand) string {
	var b strings.Builder
	for range 2 + rng.IntN(3) {
		b.WriteString(syllables[rng.IntN(len(syllables))])
	}
	return b.String()
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// someWords draws words that are neither function words nor very rare.
func (s *Source) someWords(rng *rand.Rand, n int) []string {
	ws := make([]string, n)
	for i := range ws {
		ws[i] = s.words[len(function)+rng.IntN(10_000)]
	}
	return ws
}

// Word draws one by Zipf's law.
func (s *Source) Word() string {
	x := s.rng.Float64() * s.cum[len(s.cum)-1]
	lo, hi := 0, len(s.cum)-1
	for lo < hi {
		if mid := (lo + hi) / 2; s.cum[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return s.words[lo]
}

// Name draws the name of a person.
func (s *Source) Name() string { return s.names[s.rng.IntN(len(s.names))] }

// Topic draws the number of a topic.
func (s *Source) Topic() int { return s.rng.IntN(len(s.topics)) }

// IntN draws a number below n.
func (s *Source) IntN(n int) int { return s.rng.IntN(n) }

// Passage makes sentences of about n words on a topic, which names a person now
// and then.
func (s *Source) Passage(topic, n int) string {
	var b strings.Builder
	inSentence := 0
	for i := range n {
		w := s.inTopic(topic)
		switch {
		case s.rng.IntN(25) == 0:
			w = s.Name()
		case inSentence == 0:
			w = title(w)
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
		inSentence++
		if inSentence > 6 && s.rng.IntN(10) == 0 || i == n-1 {
			b.WriteByte('.')
			inSentence = 0
		}
	}
	return b.String()
}

func (s *Source) inTopic(topic int) string {
	if s.rng.Float64() < liking {
		// Also inside a topic some words come far more often than others.
		return s.topics[topic][int(float64(perTopic)*math.Pow(s.rng.Float64(), 2))]
	}
	return s.Word()
}

// Question asks about a topic in about n words, as people do: half of them say
// little.
func (s *Source) Question(topic, n int) string {
	ws := []string{"what", "did"}
	if s.rng.IntN(3) == 0 {
		ws = append(ws, s.Name())
	}
	for len(ws) < n {
		if s.rng.IntN(2) == 0 {
			ws = append(ws, s.topics[topic][s.rng.IntN(perTopic)])
		} else {
			ws = append(ws, s.Word())
		}
	}
	return strings.Join(ws, " ") + "?"
}

// When draws a moment in the two years before 2026.
func (s *Source) When() time.Time {
	return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(s.rng.Int64N(int64(2 * 365 * 24 * time.Hour))))
}

// Centre makes the direction round which a cluster of vectors stands.
func (s *Source) Centre(dimension int) []float32 { return s.around(make([]float32, dimension), 1) }

// Near makes a unit vector near a centre; spread is the length of the noise
// beside a centre of length 1.
func (s *Source) Near(centre []float32, spread float64) []float32 { return s.around(centre, spread) }

func (s *Source) around(centre []float32, spread float64) []float32 {
	v := make([]float32, len(centre))
	each := spread / math.Sqrt(float64(len(centre)))
	var square float64
	for i := range v {
		x := float64(centre[i]) + each*s.rng.NormFloat64()
		v[i] = float32(x)
		square += x * x
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(square))
	}
	return v
}
