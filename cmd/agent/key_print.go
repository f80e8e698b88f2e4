package main

import (
	"cmp"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

// printKey prints what is known of the key and returns what was wrong with it.
func (a *app) printKey(r keyReport, err error) error {
	if a.JSON {
		return cmp.Or(a.PrintJSON(r), err)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, cli.Clean(value))
		}
	}
	row("state", map[string]string{keyUsable: "usable", keyUnusable: "cannot be used", keyNone: "no key yet", keyUnknown: "unknown"}[r.State])
	row("fingerprint", r.Fingerprint)
	row("keystore", r.Backend+why(r.Reason))
	row("curve", r.Curve)
	row("file", r.File)
	if r.Stored != r.File {
		row("stored at", r.Stored)
	}
	if t := r.TPM; t != nil {
		row("tpm", t.Device)
		row("maker", t.Maker)
		row("product", t.Product)
		row("firmware", t.Firmware)
		row("specification", "TPM 2.0 Library, revision "+t.Revision)
		row("lockout", t.lockout())
	}
	if p := r.Pending; p != nil {
		row("pending key", cmp.Or(p.Fingerprint, p.Error))
		row("pending at", p.Stored)
	}
	failed := w.Flush()
	if failed == nil && r.PublicKey != "" {
		_, failed = fmt.Fprintf(a.Stdout, "\n%s", r.PublicKey)
	}
	return cmp.Or(failed, err)
}

// lockout tells how near the TPM is to refusing passwords.
func (t *tpmReport) lockout() string {
	text := fmt.Sprintf("%d of %d failed tries", t.LockoutCounter, t.MaxTries)
	if t.InLockout {
		text += ", locked out"
	}
	if t.Recovery == 0 {
		return text + ", none is ever forgotten"
	}
	return text + ", one is forgotten every " + (time.Duration(t.Recovery) * time.Second).String()
}
