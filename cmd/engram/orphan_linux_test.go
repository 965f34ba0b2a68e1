package main

import "syscall"

// dieWithParent lets the kernel end this process when its parent is gone: a test that
// is killed, as by the time limit of go test, runs no deferred function, and would leave
// its servers behind.
func dieWithParent() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0) // without it, nothing but tidiness is lost
}
