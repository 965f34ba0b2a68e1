package when

import (
	"strings"
	"time"
)

// Times beside another: "two weeks before 5 May 2023", "the week after last Monday", "the last
// week of May". They are read from that other time, not from now.

// besideDeep is how many stand beside each other at most: "the day after the week before 5 May".
const besideDeep = 3

// ordered are the words that say which of the units before, after or in a time is meant, and
// that all of it is.
var ordered = map[string]bool{"last": true, "past": true, "previous": true, "next": true, "following": true, "first": true}

// side reads on which side of a time something lies: "before", "prior to", "of".
func (p *parser) side(i int) (side string, next int) {
	switch {
	case p.at(i) == "before" || p.at(i) == "preceding":
		return "before", i + 1
	case p.at(i) == "after" || p.at(i) == "following":
		return "after", i + 1
	case p.is(i, "prior", "to"), p.is(i, "earlier", "than"):
		return "before", i + 2
	case p.is(i, "later", "than"):
		return "after", i + 2
	case p.is(i, "leading", "up", "to"):
		return "before", i + 3
	case p.at(i) == "of" || p.at(i) == "in":
		return "of", i + 1
	}
	return "", i
}

// beside reads a time that is told by another.
func (p *parser) beside(i int, _ bool) (in interval, next int, ok bool) {
	start, lead := p.past(i, "the"), ""
	definite := p.at(start-1) == "the"
	if ordered[p.at(start)] {
		lead = p.at(start)
		start++
	}
	n, vague, j, counted := p.count(start)
	if !counted {
		n, j = 1, start
	}
	if _, isUnit := units[p.at(j)]; isUnit && !counted && strings.HasSuffix(p.at(j), "s") {
		return in, i, false // "weeks before": nobody knows how many
	}
	side, at := p.side(j + 1)
	if side == "" || p.deep >= besideDeep {
		return in, i, false
	}
	p.deep++
	there, next, ok := p.point(p.past(at, "the"), true)
	p.deep--
	if !ok && side == "before" && p.is(at, "last") && lead == "" && !counted { // "the week before last"
		in, ok = p.calendar(p.at(j), -2)
		return in, at + 1, ok
	}
	if !ok || there.from.IsZero() || there.to.IsZero() {
		return in, i, false
	}
	b := other{there: there, side: side, n: n, vague: vague, counted: counted, lead: lead, whole: lead != "" || definite && n > 1}
	in, ok = b.read(p.at(j))
	if !ok {
		return in, i, false
	}
	return in, next, true
}

// other is the time beside which something lies, and what was said of how.
type other struct {
	there    interval
	side     string
	n, vague int
	counted  bool
	lead     string // "last" of "the last three days before"; "" is none
	whole    bool   // all of the units are meant, not what lies so far away
}

// read reads the word for what lies there: a unit, a weekday, a part of a day, a month or season.
func (b other) read(what string) (interval, bool) {
	u, isUnit := units[what]
	d, isDay := weekdays[what]
	h, isPart := parts[what]
	from, months, isSeason := (&parser{}).season(what)
	switch {
	case isUnit && u.clock > 0:
		return interval{}, false
	case b.side == "of":
		return b.within(what, u, isUnit, h, isPart)
	case what == "weekend" && !b.counted:
		return b.weekend(), true
	case isUnit:
		return b.units(u), true
	case b.counted:
		return interval{}, false // "two Fridays before"
	case isDay && b.side == "after":
		return b.last().weekdayAt(d, 1), true
	case isDay:
		return b.first().weekdayAt(d, -1), true
	case isPart && b.side == "after":
		return b.last().hours(1, h[0], h[1]), true
	case isPart:
		return b.first().hours(-1, h[0], h[1]), true
	case isSeason:
		return b.season(from, months), true
	}
	return interval{}, false
}

// first and last see from the first and from the last day of the other time.
func (b other) first() *parser { return &parser{now: b.there.from} }
func (b other) last() *parser  { return &parser{now: b.there.to.Add(-1)} }

// units are "two weeks before": about so far away, or all of them; one is the one beside.
func (b other) units(u unit) interval {
	by := func(t time.Time, n int) time.Time { return t.AddDate(n*u.years, n*u.months, n*u.days) }
	near := b.n == 1 || b.whole
	switch {
	case near && b.side == "after":
		return interval{b.there.to, by(b.there.to, b.n+b.vague)}
	case near:
		return interval{by(b.there.from, -b.n-b.vague), b.there.from}
	case b.side == "after":
		return b.last().around(u, -b.n, b.vague)
	}
	return b.first().around(u, b.n, b.vague)
}

func (b other) weekend() interval {
	day := b.last().weekdayAt(time.Saturday, 1)
	if b.side == "before" {
		sunday := b.first().weekdayAt(time.Sunday, -1)
		return interval{sunday.from.AddDate(0, 0, -1), sunday.to}
	}
	return interval{day.from, day.to.AddDate(0, 0, 1)}
}

// season is the month or season that ended last before the other time, or begins first after it.
func (b other) season(from time.Month, n int) interval {
	y := b.there.from.Year() + 1
	if b.side == "after" {
		for y = b.there.to.Year() - 1; b.first().months(y, from, n).from.Before(b.there.to); {
			y++
		}
		return b.first().months(y, from, n)
	}
	for b.first().months(y, from, n).to.After(b.there.from) && y > 0 {
		y--
	}
	return b.first().months(y, from, n)
}

// within reads "the last week of May", "the first three days of 2021", "the week of 5 May", "the
// morning of 5 May".
func (b other) within(what string, u unit, isUnit bool, h [2]int, isPart bool) (interval, bool) {
	day := b.there.to.Equal(b.there.from.AddDate(0, 0, 1))
	switch {
	case isPart && day && !b.counted && b.lead == "":
		return b.first().hours(0, h[0], h[1]), true
	case !isUnit:
		return interval{}, false
	case (what == "week" || what == "weekend") && day && !b.counted && b.lead == "":
		return b.first().calendar(what, 0)
	case b.lead == "first":
		in := interval{b.there.from, b.there.from.AddDate(b.n*u.years, b.n*u.months, b.n*u.days)}
		return in, !in.to.After(b.there.to)
	case b.lead == "last":
		in := interval{b.there.to.AddDate(-b.n*u.years, -b.n*u.months, -b.n*u.days), b.there.to}
		return in, !in.from.Before(b.there.from)
	}
	return interval{}, false
}
