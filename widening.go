package engram

import (
	"sync"

	"github.com/engramdb/engram/embed"
	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/text"
)

// The words of a cue are widened by those near to them (package recall), when
// Options.Thesaurus names what tells which are. A thesaurus is of one language:
// in spaces of another, words stand for themselves alone. It is made once for all
// spaces, beside the opening of the first one that it is for, and a recall that
// comes earlier waits for it: so a database that is not asked pays nothing, and no
// answer depends on when the question came.

// widening is a thesaurus that is made when it is first needed; nil is none.
type widening struct {
	embed.ThesaurusOf
	warm sync.Once // starts the making
	once sync.Once
	made embed.Thesaurus // by once; nil: it could not be made, and words stand for themselves
}

// findWidening finds what the options name.
func findWidening(o Options) (*widening, error) {
	if o.Thesaurus == "" || o.Thesaurus == ModelNone {
		return nil, nil
	}
	of, err := embed.FindThesaurus(o.Thesaurus)
	if err != nil {
		return nil, memory.Invalid("option_out_of_range", "options", "options: Thesaurus: %v", err)
	}
	return &widening{ThesaurusOf: of}, nil
}

// thesaurus gives the one for the words of an analyzer, and makes it if need be; nil
// when there is none in its language.
func (db *DB) thesaurus(a *text.Analyzer) embed.Thesaurus {
	w := db.widening
	if w == nil || w.Language != a.Language() {
		return nil
	}
	w.once.Do(func() {
		made, err := w.Make(a.Stem)
		if err != nil {
			db.opts.Logger.Error("words of cues are not widened", "error", err)
			return
		}
		w.made = made
	})
	return w.made
}

// warmThesaurus makes it beside what else there is to do.
func (db *DB) warmThesaurus(a *text.Analyzer) {
	if w := db.widening; w != nil && w.Language == a.Language() {
		w.warm.Do(func() { db.run.startUnlessClosing("thesaurus", func() { db.thesaurus(a) }) })
	}
}
