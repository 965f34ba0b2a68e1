// Package sched asks the system to let the work behind calls give way to threads that wake.
//
// Where Go has a processor free, a caller still waits for a core of the machine: the system
// lets a thread that computes end its slice, some milliseconds, before one that has just
// woken runs there. On two cores, with 200 writes a second whose vectors a transformer made,
// one write in a hundred waited for a millisecond in this way before it began; with GiveWay
// that is 0.3 ms, and 0.2 without a model (engram-bench embed).
//
// A low priority (a nice value, SCHED_IDLE) was left: it changes little of this, and where
// other programs keep the cores busy, a thread that is not run keeps what Go has given it,
// see aside.go of the root.
package sched

// GiveWay lets the calling goroutine compute on a thread that gives way to others at once
// when they wake, until end is called; both by the same goroutine. Its share of the machine
// stays the same: it is asked to run seldom and for long, and a thread that wants to run
// for less goes first. This takes Linux 6.12 or newer; elsewhere nothing changes.
//
// A goroutine that gives way has a thread to itself, so to wake it takes some microseconds
// longer than others.
func GiveWay() (end func()) { return giveWay() }
