package boardtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// DeviceTree is where Linux shows the device tree.
const DeviceTree = "proc/device-tree"

// Constants of the flattened device tree, Devicetree Specification 0.4, chapter 5,
// https://github.com/devicetree-org/devicetree-specification/releases/tag/v0.4
const (
	dtbMagic      = 0xd00dfeed
	dtbHeader     = 40 // bytes
	dtbVersion    = 17
	dtbCompatible = 16 // the oldest version that a parser of version 17 reads

	tokenBeginNode = 1
	tokenEndNode   = 2
	tokenProp      = 3
	tokenNop       = 4
	tokenEnd       = 9
)

// What no real device tree comes near to, and what a damaged one must not pass.
const (
	maxDTB   = 16 << 20 // bytes
	maxDepth = 32       // nodes in nodes
	maxNames = 200_000  // nodes and properties
)

var errShort = errors.New("ends too early")

// FromDTB turns a flattened device tree, a .dtb file, into what Linux makes of it
// below /proc/device-tree: a folder for a node, a file for a property. It refuses
// what the specification does.
func FromDTB(data []byte) (fs.FS, error) {
	t, err := fromDTB(data)
	if err != nil {
		return nil, fmt.Errorf("reading flattened device tree: %w", err)
	}
	return t, nil
}

func fromDTB(data []byte) (*Tree, error) {
	if len(data) < dtbHeader {
		return nil, errShort
	}
	if len(data) > maxDTB {
		return nil, fmt.Errorf("%d bytes, more than %d", len(data), maxDTB)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(data[4*i:]) }
	if word(0) != dtbMagic {
		return nil, fmt.Errorf("magic 0x%08x, want 0x%08x", word(0), uint32(dtbMagic))
	}
	size := uint64(word(1))
	if size < dtbHeader || size > uint64(len(data)) {
		return nil, errShort
	}
	if version, compatible := word(5), word(6); version < dtbVersion || compatible > dtbVersion || compatible < dtbCompatible {
		return nil, fmt.Errorf("version %d, compatible with %d: not %d", version, compatible, dtbVersion)
	}
	data = data[:size]
	strs, err := section(data, word(3), word(8))
	if err != nil {
		return nil, fmt.Errorf("strings: %w", err)
	}
	structure, err := section(data, word(2), word(9))
	if err != nil {
		return nil, fmt.Errorf("structure: %w", err)
	}
	r := dtbReader{rest: structure, strings: strs}
	if err := r.nodes(); err != nil {
		return nil, fmt.Errorf("byte %d of the structure: %w", len(structure)-len(r.rest), err)
	}
	return &r.tree, nil
}

func section(data []byte, offset, size uint32) ([]byte, error) {
	if uint64(offset)+uint64(size) > uint64(len(data)) {
		return nil, errShort
	}
	return data[offset : offset+size], nil
}

// dtbReader reads the structure block.
type dtbReader struct {
	rest    []byte // of the structure block, always a multiple of four bytes from its end
	strings []byte
	tree    Tree
	names   int
}

// nodes reads the root node with all in it.
func (r *dtbReader) nodes() error {
	var at []string // path of the node that is read, from the root node on
	for {
		token, err := r.word()
		if err != nil {
			return err
		}
		switch token {
		case tokenNop:
		case tokenBeginNode:
			name, err := r.cstring()
			if err != nil {
				return err
			}
			if len(at) == 0 {
				name = DeviceTree // the root node has no name
			}
			at = append(at, name)
			if len(at) > maxDepth {
				return fmt.Errorf("nodes %d deep", len(at))
			}
			if err := r.count(); err != nil {
				return err
			}
			if !validName(name) && len(at) > 1 {
				return fmt.Errorf("node name %q", name)
			}
			if err := r.tree.Folder(path.Join(at...)); err != nil {
				return err
			}
		case tokenProp:
			if len(at) == 0 {
				return errors.New("a property outside of the nodes")
			}
			if err := r.property(path.Join(at...)); err != nil {
				return err
			}
		case tokenEndNode:
			if len(at) == 0 {
				return errors.New("the end of a node that did not begin")
			}
			at = at[:len(at)-1]
			if len(at) == 0 {
				return r.end()
			}
		default:
			return fmt.Errorf("token %d", token)
		}
	}
}

// end reads what stands behind the root node.
func (r *dtbReader) end() error {
	for {
		token, err := r.word()
		switch {
		case err != nil:
			return err
		case token == tokenEnd:
			return nil
		case token != tokenNop:
			return fmt.Errorf("token %d behind the root node", token)
		}
	}
}

func (r *dtbReader) property(node string) error {
	size, err := r.word()
	if err != nil {
		return err
	}
	offset, err := r.word()
	if err != nil {
		return err
	}
	if uint64(offset) >= uint64(len(r.strings)) {
		return errors.New("a property's name is not in the strings")
	}
	name, _, found := bytes.Cut(r.strings[offset:], []byte{0})
	if !found || !validName(string(name)) {
		return fmt.Errorf("property name %q", name)
	}
	value, err := r.bytes(uint64(size))
	if err != nil {
		return err
	}
	if err := r.count(); err != nil {
		return err
	}
	return r.tree.Add(path.Join(node, string(name)), value)
}

// count keeps a file of a few megabytes from becoming a tree of gigabytes.
func (r *dtbReader) count() error {
	if r.names++; r.names > maxNames {
		return fmt.Errorf("more than %d names", maxNames)
	}
	return nil
}

func validName(s string) bool {
	return s != "" && s != "." && path.Base(s) == s && fs.ValidPath(s)
}

func (r *dtbReader) word() (uint32, error) {
	b, err := r.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// bytes takes n bytes and what fills them up to a multiple of four.
func (r *dtbReader) bytes(n uint64) ([]byte, error) {
	filled := (n + 3) &^ 3
	if filled > uint64(len(r.rest)) {
		return nil, errShort
	}
	b := r.rest[:n:n]
	r.rest = r.rest[filled:]
	return b, nil
}

func (r *dtbReader) cstring() (string, error) {
	n := bytes.IndexByte(r.rest, 0)
	if n < 0 {
		return "", errShort
	}
	b, err := r.bytes(uint64(n) + 1)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}
