// Package doctor finds out why an agent does not work: a table of checks, each with
// what it found and what mends it. The checks change nothing, print no secret, and
// end in time whatever the machine does.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Result is how a check came out.
type Result string

// The results. OK, Skip and Warn leave the agent working.
const (
	OK   Result = "ok"
	Warn Result = "warn" // worth a look
	Fail Result = "fail" // keeps the agent from its work
	Skip Result = "skip" // does not apply here, or could not be looked at
)

// Finding is the outcome of a check.
type Finding struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Found  string `json:"found"` // a line each, never empty
	Mend   string `json:"mend"`  // command or settings line, or empty
}

// How long one check may take, and all together: they run side by side.
const (
	checkLimit = 6 * time.Second
	totalLimit = 15 * time.Second
)

// check is a row of the table.
type check struct {
	name string
	run  func(context.Context, *patient) Finding
}

// checks is the table, in the order in which a person mends: what a row needs
// stands above it.
var checks = []check{
	{"settings", checkSettings},
	{"wiring", checkWiring},
	{"devices", checkDevices},
	{"i2c", checkI2C},
	{"display", checkDisplay},
	{"button", checkButton},
	{"tpm", checkTPM},
	{"clock", checkClock},
	{"state", checkState},
	{"identity", checkIdentity},
	{"agent", checkAgent},
	{"dns", checkDNS},
	{"gateway", checkGateway},
}

// Run makes all checks of s through env, and returns what they found in the order
// of the table. It takes 15 seconds at most; a check that has not ended after 6 has
// failed. Waiting, which may be nil, is told after every check which ones are left.
func Run(ctx context.Context, s Subject, env Env, waiting func(names []string)) []Finding {
	return run(ctx, checks, &patient{Subject: s, Env: env}, waiting)
}

func run(ctx context.Context, table []check, p *patient, waiting func([]string)) []Finding {
	ctx, cancel := context.WithTimeout(ctx, totalLimit)
	defer cancel()
	type ended struct {
		row int
		Finding
	}
	results := make(chan ended, len(table))
	for i, c := range table {
		go func() { results <- ended{i, c.bounded(ctx, p)} }()
	}
	left := make([]string, len(table))
	for i, c := range table {
		left[i] = c.name
	}
	findings := make([]Finding, len(table))
	for range table {
		e := <-results
		e.Name = table[e.row].name
		findings[e.row] = e.Finding
		left = slices.DeleteFunc(left, func(name string) bool { return name == e.Name })
		if waiting != nil {
			waiting(left)
		}
	}
	return findings
}

// bounded ends in time also when the check does not listen to ctx, as a transfer on
// a bus does not; what it does then is left alone.
func (c check) bounded(ctx context.Context, p *patient) Finding {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	done := make(chan Finding, 1)
	go func() {
		if p.SettingsErr != nil && c.name != "settings" {
			done <- skip("the settings are not right")
			return
		}
		done <- c.run(ctx, p)
	}()
	select {
	case f := <-done:
		return f
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fail(fmt.Sprintf("no answer within %s", checkLimit), "look at the end of the kernel's log: sudo dmesg | tail")
		}
		return skip("interrupted")
	}
}

func ok(found string, args ...any) Finding {
	return Finding{Result: OK, Found: fmt.Sprintf(found, args...)}
}

func skip(found string) Finding       { return Finding{Result: Skip, Found: found} }
func warn(found, mend string) Finding { return Finding{Result: Warn, Found: found, Mend: mend} }
func fail(found, mend string) Finding { return Finding{Result: Fail, Found: found, Mend: mend} }

// broken is fail for an error that may carry a hint; otherwise mend is said.
func broken(err error, mend string) Finding {
	if hint := gateway.HintOf(err); hint != "" {
		mend = hint
	}
	return fail(err.Error(), mend)
}

// as gives a finding another result.
func (f Finding) as(r Result) Finding {
	f.Result = r
	return f
}

// Failed counts the findings that keep the agent from its work.
func Failed(list []Finding) int {
	n := 0
	for _, f := range list {
		if f.Result == Fail {
			n++
		}
	}
	return n
}

func lines(list []string) string { return strings.Join(list, "\n") }
