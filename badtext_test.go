package engram_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/engramdb/engram"
	"github.com/engramdb/engram/memory"
)

// TestBadTexts: what nobody meant for a model is stored, recalled by itself where it has
// words, and as a cue is no error; what has none is refused as any memory without content.
// Package embed has the same for the models alone; providers are in TestRemoteMisbehaves
// and TestModelAnswersNonsense, files of models in TestModelFileRefused and
// TestModelFileDamaged.
func TestBadTexts(t *testing.T) {
	db := openWith(t, vfs.NewMem(), engram.Options{DefaultModel: "static", Thesaurus: "static"})
	s := mainSpace(t, db)
	for i := range 20 {
		remember(t, s, memory.Episode{ID: memory.ID("other" + strings.Repeat("i", i)), Text: "the ship left the harbour at noon"})
	}
	for name, x := range map[string]struct {
		text    string
		refused string
		found   bool
	}{
		"empty":                          {"", "memory_empty", false},
		"whitespace":                     {" \t\r\n\u3000", "text_blank", false},
		"control characters":             {"\x01\x1b\x7f\u200b", "", false},
		"control characters among words": {"\x1b[31motter\u200b swims\x7f", "", true},
		"100 KB":                         {strings.Repeat("violins were tuned in the hall. ", 100<<10/32), "", true},
		"one word of 100 KB":             {strings.Repeat("ab", 50<<10), "", false},
		"Chinese":                        {"猫坐在垫子上", "", true},
		"Arabic":                         {"جلست القطة على الحصيرة", "", true},
		"Hindi":                          {"बिल्ली चटाई पर बैठी", "", true},
		"emoji alone":                    {"🙂🙃👩‍👩‍👧‍👦", "", false},
		"emoji among words":              {"granite 🙂 cobalt", "", true},
		"HTML":                           {"<html><p>tulips &amp; roses</p></html>", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			id := memory.ID(strings.ReplaceAll(name, " ", "-"))
			w, err := s.Remember(soon(t), memory.Episode{ID: id, Text: x.text}, waiting)
			if x.refused != "" {
				mustCode(t, err, x.refused)
				return
			}
			check(t, err)
			if len(w.Pending) > 0 {
				t.Errorf("pending: %v", w.Pending)
			}
			if got := memoryOf(t, s, id); got.Text != x.text {
				t.Error("the text is another")
			}
			cue := x.text
			if len(cue) > 8000 {
				cue = cue[:64]
			}
			for _, mode := range []memory.Mode{memory.ModeSimilar, memory.ModeAssociative, memory.ModeRecognise} {
				if got := recalled(t, s, memory.Cue{Text: cue, Mode: mode}); x.found && !slices.Contains(got, id) {
					t.Errorf("%s found %v", mode, got)
				}
			}
		})
	}
	clean(t, db)
}
