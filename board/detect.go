package board

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/mecha-org/mecha-agent/board/header"
)

// Generic is the Name of a board that no table row describes: what it says of
// itself is known, what is wired to it is not.
const Generic = "generic"

// The most that is read of one file, in bytes. A device-tree string or a DMI
// field has less than 100, the line names of a GPIO controller some 4,000;
// /proc/cpuinfo grows with the number of cores, about 400 bytes each on ARM.
const (
	maxProperty = 16 << 10
	maxCPUInfo  = 1 << 20
)

// Detect finds out which machine root (of the file system, os.DirFS("/")) is of.
// It asks, in this order, and takes the first answer for every field: the device
// tree, /proc/cpuinfo as kernels for the Raspberry Pi write it, the SoC driver
// and DMI. The tables of families add what the machine does not say of itself.
// What it finds is what the machine says; none of it is proven.
//
// Devices come from /sys and from the device tree together: what has a driver has
// its Device, what the device tree has and no driver took has none.
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
	t := s.deviceTree()
	s.identity(&b, t)
	s.cpuInfo(&b)
	s.soc(&b)
	s.dmi(&b)
	b.family()
	b.Header = header.For(b.Compatible)

	b.MAC = s.mac(t)
	b.Chips = s.chips(t)
	b.I2C = s.i2c(t, b.Header)
	b.SPI = s.spi(t)
	b.Onboard = s.lights()
	b.Keys = s.keys(t)
	b.TPM = s.tpm(&b)

	s.missing(&b, t)
	for _, err := range s.trouble {
		b.Missing = append(b.Missing, "not read: "+err.Error())
	}
	return b, nil
}

// missing says what was looked for in vain.
func (s *source) missing(b *Board, t *deviceTree) {
	add := func(absent bool, text string) {
		if absent {
			b.Missing = append(b.Missing, text)
		}
	}
	add(b.Model == "", "model: neither a device tree nor /proc/cpuinfo nor DMI names this machine")
	add(b.Serial == "", "serial: none found")
	add(b.MAC == "", "MAC: no wired network interface with an address of its own")
	add(b.Header == nil, "header: no table has the pins of this board")
	s.missingGPIO(b, add)
	s.missingI2C(b, t, add)
	add(b.TPM == "" && !mentions(b.Missing, "TPM"), "TPM: none")
}

// mentions says whether one of the lines is about the part.
func mentions(missing []string, part string) bool {
	for _, s := range missing {
		if strings.HasPrefix(s, part+": ") {
			return true
		}
	}
	return false
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
		s.note(err)
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		s.note(err)
		return nil
	}
	return data
}

// line returns the first line of a file of /sys, fit to print.
func (s *source) line(name string) string {
	line, _, _ := strings.Cut(string(s.read(name, maxProperty)), "\n")
	return clean(line)
}

// folder returns the names in a folder, in order; none when it cannot be read.
func (s *source) folder(name string) []string {
	entries, err := fs.ReadDir(s.root, name)
	if err != nil {
		s.note(err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// exists says whether there is a file or folder of that name.
func (s *source) exists(name string) bool {
	_, err := fs.Stat(s.root, name)
	return err == nil
}

// note keeps an error that says more than "not there".
func (s *source) note(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		s.trouble = append(s.trouble, err)
	}
}

// fill sets a field that is still empty.
func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
