package arch

import (
	"regexp"
	"strings"
	"testing"
)

// TestProjectSpeaksOfItself refuses what belongs to how a file came about and
// not to the project: paths of one machine, names of writing tools, their talk.
func TestProjectSpeaksOfItself(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	err = eachFile(root, func(name string, src []byte) error {
		if strings.HasSuffix(name, "go.sum") {
			return nil
		}
		for i, line := range strings.Split(string(src), "\n") {
			if bad := strayWords(line); bad != "" {
				t.Errorf("%s:%d says %q", name, i+1, bad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// stray are the words. They are written in pieces so that this file passes.
var stray = []*regexp.Regexp{
	regexp.MustCompile(`(?:^|[\s"'` + "`" + `(=:\[])(/wo` + `rk/|/ro` + `ot/|/home/[a-z]+/|/Use` + `rs/)`),
	regexp.MustCompile(`(?i)\b(cla` + `ude|anthro` + `pic|chat` + `gpt|cop` + `ilot|open` + `ai codex|cur` + `sor ide)\b`),
	regexp.MustCompile(`(?i)\b(a\.?i\.?|coding|language[- ]model)[- ]assis` + `tants?\b`),
	regexp.MustCompile(`(?i)\b(sub-?ag` + `ents?|as an a` + `i\b|co-authored` + `-by|generated with \[)`),
	regexp.MustCompile(`(?i)\b(in|of|from|by|for) (this|the (last|previous|next|current)|another|a previous|an earlier) (coding )?sess` + `ion\b`),
	regexp.MustCompile(`(?i)\b(the us` + `er asked|as requested by the us` + `er|the pro` + `mpt (says|asks))\b`),
}

func strayWords(line string) string {
	for _, r := range stray {
		if m := r.FindString(line); m != "" {
			return strings.TrimSpace(m)
		}
	}
	return ""
}

// TestStrayWords shows what is caught and what is not.
func TestStrayWords(t *testing.T) {
	for line, caught := range map[string]bool{
		`open("/wor` + `k/main/x")`:                           true,
		"see /ro" + "ot/go/pkg":                               true,
		"made with Cla" + "ude":                               true,
		"the sub" + "agent wrote":                             true,
		"as decided in the previous sess" + "ion":             true,
		"the long-term memory of AI agents":                   false,
		"session_3 of a conversation, users and sessions":     false,
		"../shared/data where that exists":                    false,
		"https://example.com/work/thing, a framework/ folder": false,
	} {
		if got := strayWords(line) != ""; got != caught {
			t.Errorf("strayWords(%q) is %v, want %v", line, got, caught)
		}
	}
}
