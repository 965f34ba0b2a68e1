package when

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones, wherever the test runs
)

// now is a Wednesday.
var now = time.Date(2023, 10, 18, 15, 30, 0, 0, time.UTC)

// TestFind: each line is a cue and what is read in it, "from/to" in days; an open end is
// empty.
func TestFind(t *testing.T) {
	for cue, want := range map[string]string{
		// Round today.
		"what happened yesterday?": "2023-10-17/2023-10-18",
		"Yesterday's meeting":      "2023-10-17/2023-10-18",
		"who called today":         "2023-10-18/2023-10-19",
		"plans for tomorrow":       "2023-10-19/2023-10-20",
		"the day before yesterday": "2023-10-16/2023-10-17",
		"last night's dinner":      "2023-10-17T18/2023-10-18T06",
		"yesterday evening":        "2023-10-17T17/2023-10-18",
		"this morning":             "2023-10-18T05/2023-10-18T12",
		// The calendar.
		"what did we decide last May?": "2023-05-01/2023-06-01",
		"last October":                 "2022-10-01/2022-11-01",
		"this October":                 "2023-10-01/2023-11-01",
		"next May":                     "2024-05-01/2024-06-01",
		"last week":                    "2023-10-09/2023-10-16",
		"this week":                    "2023-10-16/2023-10-23",
		"next week":                    "2023-10-23/2023-10-30",
		"last weekend":                 "2023-10-14/2023-10-16",
		"last month":                   "2023-09-01/2023-10-01",
		"last quarter":                 "2023-07-01/2023-10-01",
		"last year":                    "2022-01-01/2023-01-01",
		"this decade":                  "2020-01-01/2030-01-01",
		"last summer":                  "2023-06-01/2023-09-01",
		"last winter":                  "2022-12-01/2023-03-01",
		"in the summer":                "2023-06-01/2023-09-01",
		"the summer of 2021":           "2021-06-01/2021-09-01",
		"last Monday":                  "2023-10-16/2023-10-17",
		"last Wednesday":               "2023-10-11/2023-10-12",
		"on Wednesday":                 "2023-10-18/2023-10-19",
		"on thursday":                  "2023-10-12/2023-10-13",
		"next Friday":                  "2023-10-20/2023-10-21",
		"Monday morning":               "2023-10-16T05/2023-10-16T12",
		// Back from now.
		"two weeks ago":        "2023-10-01/2023-10-08",
		"a week ago":           "2023-10-08/2023-10-15",
		"3 days ago":           "2023-10-15/2023-10-16",
		"a couple of days ago": "2023-10-16/2023-10-17",
		"a few days ago":       "2023-10-14/2023-10-17",
		"an hour ago":          "2023-10-18T14/2023-10-18T15",
		"ten years ago":        "2013-04-19/2014-04-19",
		"in the last 3 days":   "2023-10-15/2023-10-18T15:30",
		"the past few weeks":   "2023-09-20/2023-10-18T15:30",
		// Dates.
		"on 5 March":                "2023-03-05/2023-03-06",
		"on December 5th":           "2022-12-05/2022-12-06",
		"the 5th of March 2021":     "2021-03-05/2021-03-06",
		"March 5, 2021":             "2021-03-05/2021-03-06",
		"Friday, 5 March 2021":      "2021-03-05/2021-03-06",
		"8 May, 2023":               "2023-05-08/2023-05-09",
		"on 29 February":            "2020-02-29/2020-03-01",
		"on 2021-03-05":             "2021-03-05/2021-03-06",
		"2021-03":                   "2021-03-01/2021-04-01",
		"in May":                    "2023-05-01/2023-06-01",
		"in march":                  "2023-03-01/2023-04-01",
		"in December":               "2022-12-01/2023-01-01",
		"Where was he in May 2021?": "2021-05-01/2021-06-01",
		"In what city did he live in early May 2021": "2021-05-01/2021-06-01",
		"who won in 2021":    "2021-01-01/2022-01-01",
		"the year 1999":      "1999-01-01/2000-01-01",
		"songs of the 1990s": "1990-01-01/2000-01-01",
		"the 90s":            "1990-01-01/2000-01-01",
		// Ranges.
		"between 2019 and 2021":                 "2019-01-01/2022-01-01",
		"between March and May":                 "2023-03-01/2023-06-01",
		"from November to February":             "2022-11-01/2023-03-01",
		"from May to June 2019":                 "2019-05-01/2019-07-01",
		"between 3 and 9 June":                  "2023-06-03/2023-06-10",
		"between 5 March 2021 and 7 March 2021": "2021-03-05/2021-03-08",
		"since yesterday":                       "2023-10-17/",
		"since 2020":                            "2020-01-01/",
		"before last May":                       "/2023-05-01",
		"until 2020":                            "/2020-01-01",
		"by March 2021":                         "/2021-04-01",
		"after 5 March":                         "2023-03-06/",
		"the week before August 3, 2023":        "2023-07-27/2023-08-03",
		"the weekend before April 10, 2023":     "2023-04-08/2023-04-10",
		"on the Sunday before October 25, 2022": "2022-10-23/2022-10-24",
		"two weeks before August 11, 2023":      "2023-07-25/2023-08-01",
		"the month after 5 March 2021":          "2021-03-06/2021-04-06",
		"two days after 5 March 2021":           "2021-03-07/2021-03-08",
		// Several.
		"yesterday or in 2020": "2023-10-17/2023-10-18 2020-01-01/2021-01-01",
		// No time.
		"may I come in":        "",
		"March with me, April": "",
		"1500 m in 1500 words": "",
		"it takes two weeks":   "",
		"room 2021":            "",
		"the last man":         "",
		"fall from the tree":   "",
		"on 31 February":       "",
		"in the house of June": "2023-06-01/2023-07-01", // a hole: June may be a person
		"9999999 years ago":    "",
		"999999 years ago":     "",
		"":                     "",
	} {
		t.Run(cue, func(t *testing.T) {
			var got []string
			for _, s := range Find(cue, now) {
				got = append(got, shown(s.From)+"/"+shown(s.To))
			}
			if g := strings.Join(got, " "); g != want {
				t.Errorf("%q: got %s, want %s", cue, g, want)
			}
		})
	}
}

func shown(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Hour() == 0 && t.Minute() == 0:
		return t.Format("2006-01-02")
	case t.Minute() == 0:
		return t.Format("2006-01-02T15")
	}
	return t.Format("2006-01-02T15:04")
}

// TestZone: a day is that of now's zone, also where a clock is put back in it.
func TestZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2023, 10, 30, 0, 30, 0, 0, berlin) // in UTC it is still the 29th, a day of 25 hours
	got := Find("yesterday", at)
	if len(got) != 1 || got[0].To.Sub(got[0].From) != 25*time.Hour || got[0].From.Day() != 29 || got[0].Text != "yesterday" {
		t.Errorf("%+v", got)
	}
	if got := Find("yesterday", at.UTC()); got[0].From.Day() != 28 {
		t.Errorf("%+v", got)
	}
}

// TestBounds: no more than MaxSpans, and long texts cost little.
func TestBounds(t *testing.T) {
	if got := Find(strings.Repeat("yesterday and ", 10), now); len(got) != MaxSpans {
		t.Errorf("%d spans", len(got))
	}
	if got := Find(strings.Repeat("word ", maxWords)+"yesterday", now); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// FuzzFind: whatever the text and the moment, spans are in order and apart, of the years
// that can be stored, and say words of the text.
func FuzzFind(f *testing.F) {
	for _, s := range []string{"between 3 and 9 June", "the last few weeks", "from November to February 2020", "Monday, 5 March 2021", "since the 90s", "2021-03-05",
		"a couple of centuries ago", "by the day before yesterday", "in mid May of 2021", "’s 's 5th of of", "from the from 2000 to"} {
		f.Add(s, int64(1700000000))
	}
	f.Add("next century", int64(253402300799))
	f.Add("last decade", int64(-62135596800))
	f.Add("last December", int64(-62135596800)) // before the first of all
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		at := time.Unix(seconds%253402300800, 0).UTC()
		if at.Year() < 1 {
			at = now
		}
		end := 0
		for _, s := range Find(text, at) {
			from := strings.Index(text[end:], s.Text)
			if s.Text == "" || from < 0 {
				t.Fatalf("%q is not behind %d in %q", s.Text, end, text)
			}
			end += from + len(s.Text)
			if s.From.IsZero() && s.To.IsZero() || !s.To.IsZero() && !s.From.Before(s.To) {
				t.Fatalf("%q: %v to %v", s.Text, s.From, s.To)
			}
			for _, x := range []time.Time{s.From, s.To} {
				if !x.IsZero() && (x.Year() < 1 || x.Year() > 9999) {
					t.Fatalf("%q: %v", s.Text, x)
				}
			}
		}
	})
}
