package board

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
)

// deviceTreeRoots are the places where Linux shows the device tree. The first is
// a link to the second, but /proc can be hidden from a service while /sys is not.
var deviceTreeRoots = []string{"proc/device-tree", "sys/firmware/devicetree/base"}

// deviceTree reads the root node (Devicetree Specification 0.4, section 3.2):
// model and compatible, and the serial-number that firmware adds.
func (s *source) deviceTree(b *Board) {
	read := func(property string) []byte {
		for _, root := range deviceTreeRoots {
			if v := s.read(path.Join(root, property), maxProperty); v != nil {
				return v
			}
		}
		return nil
	}
	fill(&b.Model, firstString(read("model")))
	fill(&b.Serial, cleanSerial(firstString(read("serial-number"))))
	compatible := parseStrings(read("compatible"))
	fill(&b.Vendor, vendorOf(compatible))
	fill(&b.SoC, socOf(compatible))
	// Firmware of the Raspberry Pi: one big-endian cell with the revision code.
	if v := read("system/linux,revision"); len(v) == 4 {
		if code := binary.BigEndian.Uint32(v); code != 0 {
			fill(&b.Revision, fmt.Sprintf("%04x", code))
		}
	}
}

// parseStrings splits a <stringlist> (Devicetree Specification, section 2.2.4):
// strings that each end with NUL. A missing last NUL is forgiven; strings that
// are empty or do not print are left out.
func parseStrings(data []byte) []string {
	var list []string
	for part := range bytes.SplitSeq(data, []byte{0}) {
		if s := clean(string(part)); s != "" {
			list = append(list, s)
		}
	}
	return list
}

func firstString(data []byte) string {
	if list := parseStrings(data); len(list) > 0 {
		return list[0]
	}
	return ""
}

// vendorOf names the maker of a board by the prefix of its most specific
// compatible string ("raspberrypi,4-model-b"). A prefix that vendors does not
// have is returned as it is.
func vendorOf(compatible []string) string {
	if len(compatible) == 0 {
		return ""
	}
	prefix, _, found := strings.Cut(compatible[0], ",")
	if !found {
		return ""
	}
	if name, ok := vendors[prefix]; ok {
		return name
	}
	return prefix
}

// socOf returns the last, least specific compatible string without its vendor:
// "bcm2711" of "raspberrypi,4-model-b", "brcm,bcm2711". A board with one string
// names itself and no SoC.
func socOf(compatible []string) string {
	if len(compatible) < 2 {
		return ""
	}
	_, soc, found := strings.Cut(compatible[len(compatible)-1], ",")
	if !found {
		return ""
	}
	return soc
}
