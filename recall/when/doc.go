// Package when reads the expressions of time in an English cue: "last May", "in 2021",
// "two weeks ago", "between 3 and 9 June", "since yesterday". It turns each into an
// interval of valid time, seen from a moment and in its zone.
//
// The problem: "what did we decide last May?" names a time, and words and vectors
// do not know which memories are of it. The times of memories are exact and words
// about time are not, so an interval is a hint for recall and never a filter.
//
// # What is read, and as what
//
// Intervals hold whole days, hours or longer; their end is excluded. Weeks begin on
// Monday (ISO 8601). Seasons are those of the north, three whole months from March,
// June, September and December on.
//
//   - today, tonight, yesterday, tomorrow, the day before yesterday, this morning,
//     last night, yesterday evening.
//   - last, this, next with day, week, weekend, month, quarter, year, decade, a weekday, a
//     month, a season. Last week is the calendar week before this one; last May
//     is the latest May that is over; last Monday is before today.
//   - the last (past, previous) 3 days, few weeks, couple of years: up to now.
//   - two weeks ago: half a unit to either side of that moment, brought to whole days;
//     of days, that day. A couple are 2, a few 3, several 5; a few and several
//     have one unit more to either side.
//   - the week (weekend, Sunday, month) before or after a date, two weeks before a date.
//   - 5 March 2021, March 5th, the 5th of March, 2021-03-05, March 2021, 2021, the 1990s,
//     summer of 2021. Without a year, the latest that has begun. Dates of
//     digits and slashes are not read: nobody knows which is the month.
//   - on Monday: the latest Monday, today too.
//   - between A and B, from A to B, since A, before A, until A, by A, after A.
//
// A month alone ("in May"), a year alone ("of 1999") and a weekday in small letters count
// only behind a word that makes them a time: may, march, june and numbers
// mean other things.
//
// Considered and left: a library of parsers for dates, which read far more, among it
// much that is no time ("may", "sat", "1500 m"); and asking a model.
package when
