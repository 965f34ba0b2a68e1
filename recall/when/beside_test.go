package when

import (
	"strings"
	"testing"
	"time"
)

// TestBeside: what is told by another time is read from there, whatever the time is now.
func TestBeside(t *testing.T) {
	for cue, want := range map[string]string{
		"what happened two weeks before 5 May 2023?":         "2023-04-18/2023-04-25",
		"the week after 5 May 2023":                          "2023-05-06/2023-05-13",
		"the week following 5 May 2023":                      "2023-05-06/2023-05-13",
		"a week before the 5th of May 2023":                  "2023-04-28/2023-05-05",
		"the week prior to 5 May 2023":                       "2023-04-28/2023-05-05",
		"two days later than 5 May 2023":                     "2023-05-07/2023-05-08",
		"10 days before 5 May, 2023":                         "2023-04-25/2023-04-26",
		"the day after 2023-05-05":                           "2023-05-06/2023-05-07",
		"a few days after 5 May 2023":                        "2023-05-07/2023-05-10",
		"in the two weeks before 5 May 2023":                 "2023-04-21/2023-05-05",
		"during the three days after 5 May 2023":             "2023-05-06/2023-05-09",
		"the last three days before 5 May 2023":              "2023-05-02/2023-05-05",
		"last week before 5 May 2023":                        "2023-04-28/2023-05-05",
		"the next day after 5 May 2023":                      "2023-05-06/2023-05-07",
		"the first two weeks after 5 May 2023":               "2023-05-06/2023-05-20",
		"the weekend after 5 May 2023":                       "2023-05-06/2023-05-08",
		"the weekend after 6 May 2023":                       "2023-05-13/2023-05-15",
		"the weekend before 5 May 2023":                      "2023-04-29/2023-05-01",
		"the Friday before 5 May 2023":                       "2023-04-28/2023-04-29",
		"on the Friday after 5 May 2023":                     "2023-05-12/2023-05-13",
		"the month before May 2021":                          "2021-04-01/2021-05-01",
		"the year after 2019":                                "2020-01-01/2021-01-01",
		"two months after the summer of 2021":                "2021-10-16/2021-11-16",
		"the summer after 2020":                              "2021-06-01/2021-09-01",
		"the May before 5 March 2021":                        "2020-05-01/2020-06-01",
		"the morning after 5 May 2023":                       "2023-05-06 05:00/2023-05-06 12:00",
		"the morning of 5 May 2023":                          "2023-05-05 05:00/2023-05-05 12:00",
		"the night before 5 May 2023":                        "2023-05-04 18:00/2023-05-05 06:00",
		"the week of 5 May 2023":                             "2023-05-01/2023-05-08",
		"the last week of May 2023":                          "2023-05-25/2023-06-01",
		"the first three days of 2021":                       "2021-01-01/2021-01-04",
		"since two weeks before 5 May 2023":                  "2023-04-18/",
		"until a week after 5 May 2023":                      "/2023-05-06",
		"between two weeks before 5 May 2023 and 5 May 2023": "2023-04-18/2023-05-06",
		"a week before the day after 5 May 2023":             "2023-04-29/2023-05-06",
		// From a time that is read from now: Wednesday 18 October 2023.
		"the week before last Monday":           "2023-10-09/2023-10-16",
		"two days before yesterday":             "2023-10-15/2023-10-16",
		"the week before last":                  "2023-10-02/2023-10-09",
		"two weeks after last May":              "2023-06-11/2023-06-18",
		"the last week of last month":           "2023-09-24/2023-10-01",
		"two weeks before 31 February":          "",
		"the last man in the first week of May": "2023-05-01/2023-05-08",
		"an hour before the party":              "",
		"a week after the fair":                 "",
		"the first year of school":              "",
		"the last five years of May 2023":       "2018-10-18/2023-10-18 15:30 2023-05-01/2023-06-01",
		"9999999 weeks before 5 May 2023":       "/2023-05-05",
		"weeks before 5 May 2023":               "/2023-05-05",
	} {
		var got []string
		for _, s := range Find(cue, now) {
			got = append(got, shownTo(s.From)+"/"+shownTo(s.To))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q: got %s, want %s", cue, g, want)
		}
	}
}

func shownTo(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Hour() == 0 && t.Minute() == 0:
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04")
}

// TestBesideDeep: times beside times beside times end, and soon.
func TestBesideDeep(t *testing.T) {
	deep := strings.Repeat("the day after ", 700) + "5 May 2023"
	if got := Find(deep, now); len(got) > MaxSpans {
		t.Errorf("%d spans", len(got))
	}
}
