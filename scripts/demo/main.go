// Demo shows the whole exchange on this machine: it starts the gateway and an
// agent on a simulated board, presses the button, reads the code off display
// and LEDs as a person would, claims it as an operator would, and has openssl
// verify what the board then holds.
//
//	go run ./scripts/demo -bin FOLDER [-keep]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// limit bounds the whole demo; it takes about five seconds.
const limit = 60 * time.Second

func main() {
	bin := flag.String("bin", "bin/demo", "folder of mecha-agent (built with -tags sim) and mecha-gateway")
	dir := flag.String("dir", ".demo", "scratch folder, made anew")
	keep := flag.Bool("keep", false, "leave both running until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := demo(ctx, *bin, *dir, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo runs the steps in order; the first that fails names itself and shows the
// ends of both logs.
func demo(ctx context.Context, bin, dir string, keep bool) (err error) {
	d, err := newStage(bin, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"starting the gateway", d.startGateway},
		{"starting the agent on a simulated board", d.startAgent},
		{"pressing the button", d.pressButton},
		{"reading the display", d.readDisplay},
		{"reading the LEDs", d.readLEDs},
		{"claiming the code as an operator", d.claim},
		{"waiting for the certificate", d.waitForCertificate},
		{"verifying with openssl", d.verify},
	} {
		fmt.Printf("\n== %s\n", s.name)
		if err := s.do(bounded); err != nil {
			d.showLogs(os.Stderr)
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Printf("\nThe board has its identity, %.1f s after the start. It lies in\n", time.Since(start).Seconds())
	for _, f := range identityFiles {
		fmt.Println("  " + filepath.Join(dir, "identity", f))
	}
	fmt.Printf("and the picture of the screen in %s, the logs in %s.\n",
		filepath.Join(dir, "oled.png"), filepath.Join(dir, "*.log"))
	if !keep {
		return nil
	}
	d.printHowToPoke(os.Stdout)
	<-ctx.Done()
	return nil
}

// identityFiles are what a provisioned board holds.
var identityFiles = []string{"key.pem", "csr.pem", "machine.pem", "ca_bundle.pem", "root.pem"}

// indent moves a block of text to the right.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
