package board

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Generic is the Name of a board that no table row describes: what it says of
// itself is known, what is wired to it is not.
const Generic = "generic"

// The most that is read of one file, in bytes. A device-tree string or a DMI
// field has less than 100; /proc/cpuinfo grows with the number of cores, about
// 400 bytes each on ARM.
const (
	maxProperty = 4 << 10
	maxCPUInfo  = 1 << 20
)

// Detect finds out which machine root (of the file system, os.DirFS("/")) is of.
// It asks, in this order, and takes the first answer for every field: the device
// tree, /proc/cpuinfo as kernels for the Raspberry Pi write it, the SoC driver
// and DMI. What it finds is what the machine says of itself; none of it is proven.
//
// A source that is absent or holds garbage only leaves fields empty, and Missing
// says which, so that an unknown machine still gets its identity. An error means
// that root itself cannot be read.
func Detect(root fs.FS) (Board, error) {
	b := Board{Name: Generic}
	if root == nil {
		return b, errors.New("detecting board: no file system")
	}
	if _, err := fs.Stat(root, "."); err != nil {
		return b, fmt.Errorf("detecting board: %w", err)
	}
	b.Architecture = Architecture()

	s := source{root: root}
	s.deviceTree(&b)
	s.cpuInfo(&b)
	s.soc(&b)
	s.dmi(&b)

	if b.Model == "" {
		b.Missing = append(b.Missing, "model: neither a device tree nor /proc/cpuinfo nor DMI names this machine")
	}
	if b.Serial == "" {
		b.Missing = append(b.Missing, "serial: none found")
	}
	for _, part := range []string{"display", "LEDs", "button"} {
		b.Missing = append(b.Missing, part+": no wiring known for this board")
	}
	for _, err := range s.trouble {
		b.Missing = append(b.Missing, "not read: "+err.Error())
	}
	return b, nil
}

// source reads files below root and keeps what went wrong.
type source struct {
	root    fs.FS
	trouble []error // errors other than "not there"
}

// read returns at most limit bytes of the file, nil when it cannot be read.
func (s *source) read(name string, limit int64) []byte {
	f, err := s.root.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.trouble = append(s.trouble, err)
		}
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		s.trouble = append(s.trouble, err)
		return nil
	}
	return data
}

// fill sets a field that is still empty.
func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
