package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// IsTerminal says whether a person sits at the stream.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the columns of the terminal that the stream is, or 0 when it is
// none or does not know.
func Width(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

var errDeclined = errors.New("declined")

// Confirm asks a person at the terminal and returns nil for a yes. Where nobody
// can be asked it says so, with ExitUsage: the command needs its --yes.
func (p *Program) Confirm(ctx context.Context, question string) error {
	if !IsTerminal(p.Stdin) {
		return Usage(errors.New("nobody can be asked: standard input is not a terminal"), "give --yes")
	}
	fmt.Fprintf(p.Stderr, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // reading a terminal cannot be cancelled; the process ends soon after
		line, _ := bufio.NewReader(p.Stdin).ReadString('\n') // the end of input is a no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.Stderr)
		return fmt.Errorf("%w: interrupted", errDeclined)
	case got := <-answer:
		if got != "y" && got != "yes" {
			return fmt.Errorf("%w: nothing was changed", errDeclined)
		}
		return nil
	}
}

// PrintJSON writes data to stdout as JSON, for people too: indented, and with
// <, > and & as they are.
func (p *Program) PrintJSON(v any) error { return p.encode(v, "  ") }

// PrintJSONLine is PrintJSON on a line of its own, for data that keeps coming.
func (p *Program) PrintJSONLine(v any) error { return p.encode(v, "") }

func (p *Program) encode(v any, indent string) error {
	e := json.NewEncoder(p.Stdout)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Clean keeps what machines and gateways say of themselves from steering the
// terminal: what is not printable shows as "?".
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
