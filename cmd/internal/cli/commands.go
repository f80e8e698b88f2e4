package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/mecha-org/mecha-agent/settings"
)

// Version returns what the linker set, else what Go recorded of the module,
// else "(devel)".
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// VersionCommand is the command that prints the root command's version.
func (p *Program) VersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root := c.Root()
			if p.JSON {
				return p.PrintJSON(map[string]string{"version": root.Version})
			}
			_, err := fmt.Fprintln(p.Stdout, root.Name(), root.Version)
			return err
		},
	}
}

// SettingsCommand is the command that prints the settings, a settings.Agent or
// settings.Gateway, that load returns.
func (p *Program) SettingsCommand(load func() (any, settings.Report, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "settings",
		Short: "Print the effective settings and where each comes from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			effective, report, err := load()
			if err != nil {
				return err
			}
			if report.File != "" && !p.JSON {
				fmt.Fprintln(p.Stderr, "file:", report.File)
			}
			return report.Print(p.Stdout, effective, p.JSON)
		},
	}
}
