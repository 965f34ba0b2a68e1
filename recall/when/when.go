package when

import (
	"slices"
	"time"
)

// Span is one expression of time and what it was read as.
type Span struct {
	Text     string    // the words, as they stand in the cue
	From, To time.Time // From included, To not; a zero end is open
}

// Bounds of Find.
const (
	MaxSpans = 4    // of one cue; the first count
	maxWords = 2000 // of a cue that are looked at
)

// Find reads the expressions of time in a text, in their order, seen from now and in
// its zone. Those that would leave the years 1 to 9999 are left out.
func Find(text string, now time.Time) (found []Span) {
	p := parser{words: split(text), now: now}
	for i := 0; i < len(p.words) && len(found) < MaxSpans; {
		in, next, ok := p.expression(i)
		if !ok {
			i++
			continue
		}
		if in.fits() {
			found = append(found, Span{text[p.words[i].from:p.words[next-1].to], in.from, in.to})
		}
		i = next
	}
	return found
}

// interval is half open; a zero end is open.
type interval struct{ from, to time.Time }

// fits says whether it can be stored and says anything: one that is open to both sides is what
// nothing was found for, such as last December in the first year.
func (in interval) fits() bool {
	if in.from.IsZero() && in.to.IsZero() {
		return false
	}
	for _, t := range []time.Time{in.from, in.to} {
		if !t.IsZero() && (t.UTC().Year() < 1 || t.UTC().Year() > 9999) {
			return false
		}
	}
	return in.to.IsZero() || in.from.Before(in.to)
}

type parser struct {
	words []word
	now   time.Time
	deep  int // times beside others that are being read
}

// at is the word at i in small letters; "" beyond the end.
func (p *parser) at(i int) string {
	if i < 0 || i >= len(p.words) {
		return ""
	}
	return p.words[i].low
}

// is says whether the words from i on are these.
func (p *parser) is(i int, words ...string) bool {
	for k, w := range words {
		if p.at(i+k) != w {
			return false
		}
	}
	return true
}

// leads are the words that make what follows a time.
var leads = map[string]bool{"in": true, "during": true, "on": true, "of": true, "since": true, "before": true, "after": true, "until": true,
	"till": true, "by": true, "from": true, "between": true, "early": true, "late": true, "mid": true, "around": true, "throughout": true}

// expression reads a range or a point at i.
func (p *parser) expression(i int) (in interval, next int, ok bool) {
	switch p.at(i) {
	case "between":
		return p.pair(i, "and")
	case "from":
		return p.pair(i, "to", "until", "till", "through")
	case "since", "after", "before", "until", "till", "by":
		if in, next, ok = p.point(p.past(i+1, "the"), true); ok {
			return p.open(p.at(i), in), next, true
		}
		return in, i, false
	}
	if leads[p.at(i)] {
		from := i + 1
		for leads[p.at(from)] { // "in early 2020"
			from++
		}
		return p.point(p.past(from, "the"), true)
	}
	return p.point(i, false)
}

// past is the place after a word that may stand there.
func (p *parser) past(i int, w string) int {
	if p.at(i) == w {
		return i + 1
	}
	return i
}

func (p *parser) open(lead string, in interval) interval {
	switch lead {
	case "since":
		return interval{from: in.from}
	case "after":
		return interval{from: in.to}
	case "by":
		return interval{to: in.to}
	}
	return interval{to: in.from}
}

// pair reads "between A and B"; a year or a month that only B says holds for A too.
func (p *parser) pair(i int, joins ...string) (in interval, next int, ok bool) {
	a, mid, ok := p.point(p.past(i+1, "the"), true)
	if !ok {
		return p.days(i+1, joins)
	}
	if !slices.Contains(joins, p.at(mid)) {
		return a, mid, p.at(i) == "from" && ok // "from last May"
	}
	b, next, ok := p.point(p.past(mid+1, "the"), true)
	if !ok {
		return a, mid, true
	}
	for a.from.After(b.from) && a.from.Year() == b.from.Year()+1 { // "from November to February"
		a.from = a.from.AddDate(-1, 0, 0)
	}
	if shift := b.from.Year() - a.from.Year(); shift != 0 && !p.saysYear(i+1, mid) && p.saysYear(mid+1, next) {
		a.from = a.from.AddDate(shift, 0, 0) // "from May to June 2019"
	}
	return interval{a.from, b.to}, next, a.from.Before(b.to)
}

// days reads "3 and 9 June".
func (p *parser) days(i int, joins []string) (in interval, next int, ok bool) {
	d, ok := dayOf(p.at(p.past(i, "the")))
	j := p.past(i, "the") + 1
	if !ok || !slices.Contains(joins, p.at(j)) {
		return in, i, false
	}
	b, next, ok := p.point(p.past(j+1, "the"), true)
	if !ok {
		return in, i, false
	}
	a := time.Date(b.from.Year(), b.from.Month(), d, 0, 0, 0, 0, b.from.Location())
	return interval{a, b.to}, next, a.Before(b.to) && a.Month() == b.from.Month()
}

func (p *parser) saysYear(from, to int) bool {
	for i := from; i < to; i++ {
		if _, ok := yearOf(p.at(i)); ok {
			return true
		}
	}
	return false
}

// point reads one time at i. led says that a word before it makes it one.
func (p *parser) point(i int, led bool) (in interval, next int, ok bool) {
	for _, read := range []func(int, bool) (interval, int, bool){p.near, p.beside, p.ago, p.relative, p.lasting, p.date, p.monthOrSeason, p.weekday, p.year} {
		if in, next, ok = read(i, led); ok {
			return in, next, true
		}
	}
	return in, i, false
}

// day is the n-th day from today.
func (p *parser) day(n int) interval {
	y, m, d := p.now.Date()
	return interval{time.Date(y, m, d+n, 0, 0, 0, 0, p.now.Location()), time.Date(y, m, d+n+1, 0, 0, 0, 0, p.now.Location())}
}

// hours is a part of a day, to an hour that may lie in the next.
func (p *parser) hours(n, from, to int) interval {
	y, m, d := p.now.Date()
	return interval{time.Date(y, m, d+n, from, 0, 0, 0, p.now.Location()), time.Date(y, m, d+n, to, 0, 0, 0, p.now.Location())}
}

// parts are the parts of a day, by their hours.
var parts = map[string][2]int{"morning": {5, 12}, "afternoon": {12, 18}, "evening": {17, 24}, "night": {18, 30}}

// near reads the words for the days round today.
func (p *parser) near(i int, _ bool) (in interval, next int, ok bool) {
	n := 0
	switch {
	case p.is(i, "day", "before", "yesterday"):
		return p.day(-2), i + 3, true
	case p.is(i, "the", "day", "before", "yesterday"):
		return p.day(-2), i + 4, true
	case p.is(i, "day", "after", "tomorrow"):
		return p.day(2), i + 3, true
	case p.is(i, "the", "day", "after", "tomorrow"):
		return p.day(2), i + 4, true
	case p.at(i) == "tonight":
		return p.hours(0, 18, 30), i + 1, true
	case p.is(i, "last", "night"):
		return p.hours(-1, 18, 30), i + 2, true
	case p.at(i) == "this" && parts[p.at(i+1)] != [2]int{}:
		h := parts[p.at(i+1)]
		return p.hours(0, h[0], h[1]), i + 2, true
	case p.at(i) == "yesterday":
		n = -1
	case p.at(i) == "tomorrow":
		n = 1
	case p.at(i) == "today":
	default:
		return in, i, false
	}
	if h, ok := parts[p.at(i+1)]; ok {
		return p.hours(n, h[0], h[1]), i + 2, true
	}
	return p.day(n), i + 1, true
}

// count reads how many: "3", "three", "a", "a couple of", "few". vague is how
// uncertain it is, in units.
func (p *parser) count(i int) (n, vague, next int, ok bool) {
	if p.at(i) == "a" || p.at(i) == "an" || p.at(i) == "the" {
		if n, vague, next, ok = p.few(i + 1); ok {
			return n, vague, next, true
		}
		return 1, 0, i + 1, p.at(i) != "the"
	}
	if n, vague, next, ok = p.few(i); ok {
		return n, vague, next, true
	}
	n, ok = numberOf(p.at(i))
	return n, 0, i + 1, ok
}

func (p *parser) few(i int) (n, vague, next int, ok bool) {
	switch p.at(i) {
	case "couple":
		return 2, 0, p.past(i+1, "of"), true
	case "few":
		return 3, 1, i + 1, true
	case "several":
		return 5, 1, i + 1, true
	}
	return 0, 0, i, false
}

// ago reads "two weeks ago".
func (p *parser) ago(i int, _ bool) (in interval, next int, ok bool) {
	n, vague, j, ok := p.count(i)
	if !ok {
		return in, i, false
	}
	u, ok := units[p.at(j)]
	if !ok || p.at(j+1) != "ago" {
		return in, i, false
	}
	return p.around(u, n, vague), j + 2, true
}

// around is what lies n units back, half a unit to either side and what is vague.
func (p *parser) around(u unit, n, vague int) interval {
	if u.clock > 0 {
		if n > longest/max(1, int(u.clock/time.Second)) {
			return interval{}
		}
		at := p.now.Add(-time.Duration(n) * u.clock)
		wide := u.clock/2 + time.Duration(vague)*u.clock
		return interval{at.Add(-wide), at.Add(wide)}
	}
	at := p.day(0).from.AddDate(-n*u.years, -n*u.months, -n*u.days)
	if u.days == 1 && u.months == 0 {
		return interval{at.AddDate(0, 0, -vague), at.AddDate(0, 0, 1+vague)}
	}
	wide := u.about/2 + vague*u.about
	return interval{at.AddDate(0, 0, -wide), at.AddDate(0, 0, wide+1)}
}

// longest bounds counts of seconds, so that durations do not overflow: 100 years.
const longest = 100 * 366 * 86400

// unit is a length of the calendar, or of the clock.
type unit struct {
	years, months, days int
	about               int // in days
	clock               time.Duration
}

var units = map[string]unit{}

func init() {
	for name, u := range map[string]unit{"second": {clock: time.Second}, "minute": {clock: time.Minute}, "hour": {clock: time.Hour}, "day": {days: 1, about: 1},
		"week": {days: 7, about: 7}, "fortnight": {days: 14, about: 14}, "weekend": {days: 7, about: 4}, "month": {months: 1, about: 30},
		"quarter": {months: 3, about: 91}, "year": {years: 1, about: 365}, "decade": {years: 10, about: 3653}, "century": {years: 100, about: 36525}} {
		units[name], units[name+"s"] = u, u
	}
	units["centuries"] = units["century"]
}

// lasting reads "the last three days", "past few weeks": up to now.
func (p *parser) lasting(i int, _ bool) (in interval, next int, ok bool) {
	i = p.past(i, "the")
	if !slices.Contains([]string{"last", "past", "previous"}, p.at(i)) {
		return in, i, false
	}
	n, vague, j, ok := p.count(i + 1)
	u, known := units[p.at(j)]
	if !ok || !known {
		return in, i, false
	}
	n += vague
	if u.clock > 0 {
		if n > longest/max(1, int(u.clock/time.Second)) {
			return in, i, false
		}
		return interval{p.now.Add(-time.Duration(n) * u.clock), p.now}, j + 1, true
	}
	return interval{p.day(0).from.AddDate(-n*u.years, -n*u.months, -n*u.days), p.now}, j + 1, true
}

// relative reads "last week", "this month", "next Friday", "last May".
func (p *parser) relative(i int, _ bool) (in interval, next int, ok bool) {
	i = p.past(i, "the")
	step, known := map[string]int{"last": -1, "past": -1, "previous": -1, "this": 0, "current": 0, "next": 1, "coming": 1}[p.at(i)]
	if !known {
		return in, i, false
	}
	w := p.at(i + 1)
	if in, ok = p.calendar(w, step); ok {
		return in, i + 2, true
	}
	if d, ok := weekdays[w]; ok {
		return p.weekdayAt(d, step), i + 2, true
	}
	if from, months, ok := p.season(w); ok {
		if y, ok := yearOf(p.at(i + 2)); ok { // "this May 2021"
			return p.months(y, from, months), i + 3, true
		}
		return p.recurring(from, months, step), i + 2, true
	}
	return in, i, false
}

// calendar is the unit of the calendar that is step from the one of now.
func (p *parser) calendar(w string, step int) (interval, bool) {
	y, m, _ := p.now.Date()
	monday := -(int(p.now.Weekday()) + 6) % 7
	switch w {
	case "day":
		return p.day(step), true
	case "week":
		return interval{p.day(monday + 7*step).from, p.day(monday + 7*step + 7).from}, true
	case "weekend":
		return interval{p.day(monday + 7*step + 5).from, p.day(monday + 7*step + 7).from}, true
	case "month":
		return p.months(y, m+time.Month(step), 1), true
	case "quarter":
		return p.months(y, (m-1)/3*3+1+time.Month(3*step), 3), true
	case "year":
		return p.months(y+step, 1, 12), true
	case "decade":
		return p.months(y/10*10+10*step, 1, 120), true
	case "century":
		return p.months(y/100*100+100*step, 1, 1200), true
	}
	return interval{}, false
}

// months is n months from one on; months beyond December are of the next year.
func (p *parser) months(y int, m time.Month, n int) interval {
	return interval{time.Date(y, m, 1, 0, 0, 0, 0, p.now.Location()), time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, p.now.Location())}
}

// season gives where a month or a season begins, and its length in months.
func (p *parser) season(w string) (from time.Month, n int, ok bool) {
	if m, ok := monthNames[w]; ok {
		return m, 1, true
	}
	m, ok := seasons[w]
	return m, 3, ok
}

// recurring is a month or season without a year: step -1 the latest that is over, 0 the
// latest that has begun, 1 the first that has not.
func (p *parser) recurring(from time.Month, n, step int) interval {
	y := p.now.Year() + 1
	for ; y > 1; y-- {
		in := p.months(y, from, n)
		begun, over := !in.from.After(p.now), !in.to.After(p.now)
		if step < 0 && over || step == 0 && begun {
			return in
		}
		if step > 0 && begun {
			return p.months(y+1, from, n)
		}
	}
	return interval{}
}

// monthOrSeason reads "May 2021", "the summer of 2021", "in May".
func (p *parser) monthOrSeason(i int, led bool) (in interval, next int, ok bool) {
	i = p.past(i, "the")
	from, n, ok := p.season(p.at(i))
	if !ok {
		return in, i, false
	}
	if y, ok := yearOf(p.at(p.past(i+1, "of"))); ok {
		return p.months(y, from, n), p.past(i+1, "of") + 1, true
	}
	if !led {
		return in, i, false
	}
	return p.recurring(from, n, 0), i + 1, true
}

// weekday reads "on Monday", "Monday morning".
func (p *parser) weekday(i int, led bool) (in interval, next int, ok bool) {
	d, ok := weekdays[p.at(i)]
	if !ok || !led && !p.words[i].capital {
		return in, i, false
	}
	in = p.weekdayAt(d, 0)
	if h, ok := parts[p.at(i+1)]; ok {
		return interval{in.from.Add(time.Duration(h[0]) * time.Hour), in.from.Add(time.Duration(h[1]) * time.Hour)}, i + 2, true
	}
	return in, i + 1, true
}

// weekdayAt is the weekday before today, the latest up to today, or the next.
func (p *parser) weekdayAt(d time.Weekday, step int) interval {
	back := (int(p.now.Weekday()) - int(d) + 7) % 7
	switch {
	case step < 0 && back == 0:
		back = 7
	case step > 0:
		back -= 7
	}
	return p.day(-back)
}

// date reads days: "2021-03-05", "5 March 2021", "March 5th", "the 5th of March".
func (p *parser) date(i int, _ bool) (in interval, next int, ok bool) {
	i = p.past(i, "the")
	if d, ok := weekdays[p.at(i)]; ok { // "Monday, 5 March"
		if in, next, ok = p.date(i+1, true); ok && in.from.Weekday() == d {
			return in, next, true
		}
		return in, i, false
	}
	if in, ok := p.iso(p.at(i)); ok {
		return in, i + 1, true
	}
	var m time.Month
	d, ok := dayOf(p.at(i))
	if ok { // 5 March
		next = p.past(i+1, "of") + 1
		m, ok = monthNames[p.at(next-1)]
	} else if m, ok = monthNames[p.at(i)]; ok { // March 5
		next = p.past(i+1, "the") + 1
		d, ok = dayOf(p.at(next - 1))
	}
	if !ok {
		return in, i, false
	}
	if y, ok := yearOf(p.at(p.past(next, "of"))); ok {
		in, ok = p.dayIn(y, m, d)
		return in, p.past(next, "of") + 1, ok
	}
	in, ok = p.latest(m, d)
	return in, next, ok
}

func (p *parser) dayIn(y int, m time.Month, d int) (interval, bool) {
	from := time.Date(y, m, d, 0, 0, 0, 0, p.now.Location())
	return interval{from, time.Date(y, m, d+1, 0, 0, 0, 0, p.now.Location())}, from.Day() == d
}

// latest is a day of the year without a year: the latest that has begun.
func (p *parser) latest(m time.Month, d int) (interval, bool) {
	for y := p.now.Year(); y > p.now.Year()-9; y-- { // 29 February comes every 4 years, or 8
		if in, ok := p.dayIn(y, m, d); ok && !in.from.After(p.now) {
			return in, true
		}
	}
	return interval{}, false
}

// iso reads 2021-03-05 and 2021-03.
func (p *parser) iso(w string) (interval, bool) {
	if t, err := time.ParseInLocation("2006-01-02", w, p.now.Location()); err == nil {
		return p.dayIn(t.Date())
	}
	if t, err := time.ParseInLocation("2006-01", w, p.now.Location()); err == nil {
		return p.months(t.Year(), t.Month(), 1), true
	}
	return interval{}, false
}

// year reads "2021" behind a word that makes it a time, and "the 1990s".
func (p *parser) year(i int, led bool) (in interval, next int, ok bool) {
	i = p.past(i, "the")
	if y, ok := decadeOf(p.at(i), p.now.Year()); ok && (led || p.at(i-1) == "the") {
		return p.months(y, 1, 120), i + 1, true
	}
	if p.at(i) == "year" {
		i, led = i+1, true
	}
	y, ok := yearOf(p.at(i))
	if !ok || !led || counted[p.at(i+1)] {
		return in, i, false
	}
	return p.months(y, 1, 12), i + 1, true
}
