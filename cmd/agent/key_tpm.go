package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/keystore"
	"github.com/mecha-org/mecha-agent/keystore/tpm"
	"github.com/mecha-org/mecha-agent/settings"
)

// tpmReport is what a TPM says of itself; nothing of it is proven.
type tpmReport struct {
	Device         string `json:"device"`
	Manufacturer   string `json:"manufacturer"`
	Maker          string `json:"maker"`
	Product        string `json:"product"`
	Firmware       string `json:"firmware"`
	Revision       string `json:"revision"` // of the TPM 2.0 Library
	LockoutCounter uint32 `json:"lockout_counter"`
	MaxTries       uint32 `json:"max_tries"`
	Recovery       int64  `json:"recovery_seconds"` // 0: never
	InLockout      bool   `json:"in_lockout"`
}

// tpmFound is what became of asking a TPM.
type tpmFound struct {
	report     *tpmReport // nil when it did not tell
	connecting error      // it does not work
	opening    error      // it works, and does not open the key
}

// askTPM asks the TPM of the settings about itself and whether it opens the key at
// path, if that is not "". It returns when ctx ends at the latest: a TPM that hangs
// is left behind, the end of the process frees it. Most of the time is for the
// questions, the rest for putting the TPM back as it was.
func askTPM(ctx context.Context, c settings.Keystore, path string) tpmFound {
	begin := time.Now()
	inner, cancel := ctx, context.CancelFunc(func() {})
	if end, ok := ctx.Deadline(); ok {
		inner, cancel = context.WithTimeout(ctx, time.Until(end)*4/5)
	}
	answer, closed := make(chan tpmFound, 1), make(chan struct{})
	go func() {
		defer close(closed)
		defer cancel()
		chip, err := tpm.New(tpm.Config{Path: c.TPM, Curve: keystore.Curve(c.Curve)})
		if err != nil {
			answer <- tpmFound{connecting: err}
			return
		}
		defer chip.Close()
		answer <- questionTPM(inner, chip, path)
	}()
	select {
	case f := <-answer:
		select {
		case <-closed:
		case <-ctx.Done():
		}
		return f
	case <-ctx.Done():
		return tpmFound{connecting: hung(ctx, c.TPM, time.Since(begin))}
	}
}

func questionTPM(ctx context.Context, chip *tpm.Store, path string) tpmFound {
	i, err := chip.Inspect(ctx)
	if err != nil {
		return tpmFound{connecting: err}
	}
	f := tpmFound{report: &tpmReport{Device: chip.Path(), Manufacturer: cli.Clean(i.Manufacturer), Maker: cli.Clean(i.Maker),
		Product: cli.Clean(i.Vendor), Firmware: i.Firmware, Revision: i.Revision, LockoutCounter: i.LockoutCounter,
		MaxTries: i.MaxTries, Recovery: int64(i.Recovery / time.Second), InLockout: i.InLockout}}
	if path == "" {
		return f
	}
	k, err := chip.Open(ctx, path)
	if err != nil {
		f.opening = err
		return f
	}
	f.opening = k.Close()
	return f
}

// hung is the error of a TPM that did not answer before ctx ended.
func hung(ctx context.Context, path string, after time.Duration) error {
	if ctx.Err() == context.Canceled {
		return cli.Fail(cli.ExitFailure, errors.New("interrupted"), "")
	}
	if path == "" {
		path = tpm.Paths()[0]
	}
	return cli.Fail(cli.ExitFailure, fmt.Errorf("opening TPM %s: %w within %s", path, tpm.ErrHung, after.Round(100*time.Millisecond)),
		"try again; when it stays like that, look for tpm in dmesg, then cut the power of the board")
}
