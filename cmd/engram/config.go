package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// configCommand shows every setting, what it says, and who said it.
func configCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Show every setting with its value and where it comes from",
		Long: `Show every setting with its value and where it comes from.

A flag beats the environment, which beats the settings file, which beats the default.
The file is YAML or TOML; a key that is not known is an error.`,
		Example: `  engram config
  ENGRAM_LISTEN=127.0.0.1:9000 engram config --json`,
		Args: takes(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := loadSettings(c.Flags())
			if err != nil {
				return err
			}
			if asJSON {
				return printSettingsJSON(c.OutOrStdout(), s)
			}
			return printSettings(c.OutOrStdout(), s)
		},
	}
	addSettings(c, settingKeys()...)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printSettings(w io.Writer, s *settings) error {
	t := table{header: []string{"SETTING", "VALUE", "ORIGIN"}}
	for _, d := range allSettings {
		v := s.values[d.key]
		t.add(d.key, v.text, v.origin)
	}
	return t.print(w)
}

func printSettingsJSON(w io.Writer, s *settings) error {
	type shown struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Origin string `json:"origin"`
		Flag   string `json:"flag"`
		Env    string `json:"env"`
		Doc    string `json:"doc"`
	}
	all := []shown{}
	for _, d := range allSettings {
		v := s.values[d.key]
		all = append(all, shown{d.key, v.text, v.origin, "--" + d.flag(), d.env(), d.doc})
	}
	return json.NewEncoder(w).Encode(map[string]any{"file": s.file, "settings": all})
}
