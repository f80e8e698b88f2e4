package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certFiles is a TLS certificate in files that something else renews: it is read
// again when they have changed.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu    sync.Mutex
	pair  *tls.Certificate
	tried [2]fileState // at the last reading, whatever came of it
}

// fileState tells one content of a file from the next; zero stands for no file.
type fileState struct {
	modified time.Time
	size     int64
}

func stateOf(name string) fileState {
	info, err := os.Stat(name)
	if err != nil {
		return fileState{}
	}
	return fileState{info.ModTime(), info.Size()}
}

// openCertFiles fails when the files hold no certificate with its key.
func openCertFiles(cert, key string, log *slog.Logger) (*certFiles, error) {
	f := &certFiles{cert: cert, key: key, log: log}
	return f, f.read(f.states())
}

func (f *certFiles) states() [2]fileState { return [2]fileState{stateOf(f.cert), stateOf(f.key)} }

// read is told the states from before, so that a file which changes meanwhile is
// read once more.
func (f *certFiles) read(states [2]fileState) error {
	f.tried = states
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("reading tls.cert and tls.key: %w", err)
	}
	f.pair = &pair
	return nil
}

// get serves tls.Config.GetCertificate. Files that hold no pair, as between the
// writing of one and of the other, leave the former certificate in use; that is
// logged once for each state of the files.
func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if states := f.states(); states != f.tried {
		if err := f.read(states); err != nil {
			f.log.Warn("the former TLS certificate stays in use", "error", err)
		} else {
			f.log.Info("read a new TLS certificate", "file", f.cert, "until", f.pair.Leaf.NotAfter)
		}
	}
	return f.pair, nil
}
