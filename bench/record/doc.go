// Package record keeps what was measured: each figure beside the bar that it is
// held to, with the machine that it was measured on, as a table for people and
// as JSON for programs.
package record
