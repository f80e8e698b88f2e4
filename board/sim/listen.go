package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"
)

// maxSocketPath is sun_path of unix(7) without the NUL at its end, in bytes.
const maxSocketPath = 107

// listen opens the Unix socket for its owner alone. A socket that nobody serves
// any more is replaced; another kind of file, or a board that lives, is not.
func listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, &optionError{
			fmt.Sprintf("the path of the control socket has %d bytes, at most %d are allowed", len(path), maxSocketPath),
			"choose a shorter path, or one relative to the working folder",
		}
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("opening control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, &optionError{"there is a file that is no socket at " + path, "choose another path for the control socket"}
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, &optionError{"another one listens at " + path, "end the other agent, or choose another path for the control socket"}
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing stale control socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("opening control socket: %w", err)
	}
	return l, nil
}
