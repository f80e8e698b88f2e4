package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// confirm asks a person at a terminal. Where nobody can answer, only --yes says yes.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.stdin) {
		return exitError{errors.New("nobody can be asked: standard input is not a terminal"), exitUsage, "give --yes"}
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // reading a terminal cannot be cancelled; the process ends soon after
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return exitError{errors.New("declined: interrupted"), exitDeclined, ""}
	case got := <-answer:
		if got != "y" && got != "yes" {
			return exitError{errors.New("declined: nothing was changed"), exitDeclined, ""}
		}
		return nil
	}
}
