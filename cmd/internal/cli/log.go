package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/mecha-org/mecha-agent/settings"
)

// OpenLog opens the log of the settings, on stderr when they name no file: text
// for a person at a terminal, JSON for a machine. Done closes the file.
func (p *Program) OpenLog(c settings.Logging) (log *slog.Logger, done func(), err error) {
	done = func() {}
	if !c.Enabled {
		return slog.New(slog.DiscardHandler), done, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.Level))); err != nil {
		return nil, nil, fmt.Errorf("logging.level: %w", err)
	}
	out := p.Stderr
	if c.Path != "" {
		f, err := openLogFile(c.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the log: %w", err)
		}
		out, done = f, func() { f.Close() }
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(out, options)
	if IsTerminal(out) {
		handler = slog.NewTextHandler(out, options)
	}
	return slog.New(handler), done, nil
}

// openLogFile opens a file for appending, readable by owner and group; it makes
// the folder when there is none.
func openLogFile(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}
