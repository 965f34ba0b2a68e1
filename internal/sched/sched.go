// Package sched asks the system to let the work behind calls give way to threads that wake.
//
// Where Go has a processor free, a caller still waits for a core of the machine: the system
// lets a thread that computes end its slice, some milliseconds, before one that has just
// woken runs there. With 200 writes a second whose vectors a transformer made on one of two
// cores, one write in a hundred waited in this way for a millisecond before it began; with
// GiveWay and what aside.go of the root does it is 0.3 to 0.45 ms, and 0.2 without a model
// (engram-bench embed).
//
// A nice value was left, since it changes little of this. SCHED_IDLE does as much, but where
// other programs keep the cores busy, a thread that is not run keeps what Go has given it,
// see aside.go.
package sched

// GiveWay lets the calling goroutine compute on a thread that gives way to others at once
// when they wake, until end is called; both by the same goroutine. Its share of the machine
// stays the same: it is asked to run seldom and for long, and a thread that wants to run
// for less goes first. This takes Linux 6.12 or newer; elsewhere nothing changes.
//
// A goroutine that gives way has a thread to itself, so to wake it takes some microseconds
// longer than others: it is for work that computes for long, without yielding. The links of
// vectors, which yield between steps, were made at two thirds of their speed with it.
func GiveWay() (end func()) { return giveWay() }
