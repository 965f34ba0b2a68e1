package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run this test binary under the name engram.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"engram": func() {
		dieWithParent()
		main()
	}})
}
