package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/engramdb/engram"
)

func verifyCommand() *cobra.Command {
	var data string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify --data DIR",
		Short: "Read everything in a database that nobody serves, and say what is damaged",
		Long: `Read everything in a database that nobody serves, and say what is damaged: every block of every table,
every record, payload and key; each space's journal is replayed and compared with the state. Nothing is
changed. The status is 6 when something is damaged.`,
		Example: "  engram verify --data ./memories",
		Args:    takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if data == "" {
				return usage("verify needs the directory of the database").hinted("engram verify --data DIR")
			}
			if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
				return failed(exitNotFound, "there is no database in %s", data)
			}
			r, err := engram.VerifyDir(c.Context(), data, engram.Options{})
			if err != nil {
				return inUse(err, data, "stop that process first")
			}
			return printReport(c.OutOrStdout(), data, &r, asJSON)
		},
	}
	c.Flags().StringVar(&data, "data", "", "directory of the database")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagDirname("data")
	return c
}

func printReport(w io.Writer, data string, r *engram.VerifyReport, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(reportJSON(r))
	} else {
		err = printReportText(w, r)
	}
	if err == nil && !r.Sound() {
		return failed(exitDamaged, "%s is damaged: %d findings", data, r.Total).hinted("restore a backup; what is damaged is never served")
	}
	return err
}

func printReportText(w io.Writer, r *engram.VerifyReport) error {
	for _, f := range r.Findings {
		if _, err := fmt.Fprintln(w, oneLine(f.String())); err != nil {
			return err
		}
	}
	if left := r.Total - len(r.Findings); left > 0 {
		if _, err := fmt.Fprintf(w, "and %d more\n", left); err != nil {
			return err
		}
	}
	word := "sound"
	if !r.Sound() {
		word = "damaged"
	}
	_, err := fmt.Fprintf(w, "%s: read %d tables, %d spaces, %d keys, %d records, %d payloads\n", word, r.Tables, r.Spaces, r.Keys, r.Records, r.Payloads)
	return err
}

// reportJSON is a report in the API's spelling.
func reportJSON(r *engram.VerifyReport) map[string]any {
	findings := []map[string]any{}
	for _, f := range r.Findings {
		findings = append(findings, findingJSON(f))
	}
	return map[string]any{"sound": r.Sound(), "tables": r.Tables, "spaces": r.Spaces, "keys": r.Keys, "records": r.Records,
		"payloads": r.Payloads, "total": r.Total, "findings": findings}
}

func findingJSON(f engram.VerifyFinding) map[string]any {
	if f.File != "" {
		return map[string]any{"file": f.File, "offset": f.Offset, "wrong": f.Wrong}
	}
	return map[string]any{"space": f.Name, "thing": f.Thing, "number": f.Number, "key": f.Key, "wrong": f.Wrong}
}
