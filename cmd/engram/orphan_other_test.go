//go:build !linux

package main

// dieWithParent is of Linux; elsewhere a test that is killed leaves its servers behind.
func dieWithParent() {}
