package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// strict makes wrong arguments and command names exit with ExitUsage and
// a hint, for c and the commands below it. A command that only holds others
// prints its help.
func strict(c *cobra.Command) {
	for _, sub := range c.Commands() {
		strict(sub)
	}
	switch check := c.Args; {
	case c.Name() == "help":
		c.Args = helpTopic
	case c.HasSubCommands() && !c.Runnable():
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return unknown(c, args[0])
		}
	case check != nil:
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return Usage(err, c.CommandPath()+" --help tells what it takes")
			}
			return nil
		}
	}
}

// helpTopic refuses a path of names that is no command; cobra would print the
// help of the last command that is one.
func helpTopic(c *cobra.Command, args []string) error {
	if found, rest, err := c.Root().Find(args); err == nil && len(rest) > 0 {
		return unknown(found, rest[0])
	}
	return nil
}

// unknown is the error for a name that c has no command of, with the nearest names.
func unknown(c *cobra.Command, name string) error {
	c.SuggestionsMinimumDistance = 2
	advice := c.CommandPath() + " --help lists the commands"
	if near := c.SuggestionsFor(name); len(near) > 0 {
		advice = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return Usage(fmt.Errorf("unknown command %q", name), advice)
}
