package board

import "strings"

// family is a row of the table of families (families_table.go).
type family struct {
	name   string   // Board.Name
	match  []string // patterns of compatible strings, see like
	vendor string   // of boards that match says are the family's own; empty: by their prefix
	soc    string   // when the root node names none
	sheet  string   // documentation of its boards
}

// family fills what the tables know: Name, Sheet, and the Vendor and SoC that the
// compatible strings stand for. Fields that a source filled stay.
func (b *Board) family() {
	f, first := familyOf(b.Compatible)
	fill(&b.SoC, socOf(b.Compatible))
	if f != nil {
		b.Name, b.Sheet = f.name, f.sheet
		if first {
			fill(&b.Vendor, f.vendor)
		}
		fill(&b.SoC, f.soc)
	}
	fill(&b.SoC, lastOf(b.Compatible))
	fill(&b.Vendor, vendorOf(b.Compatible))
	// A device tree without a model still says what it is compatible with.
	if b.Model == "" && len(b.Compatible) > 0 {
		_, b.Model = splitCompatible(b.Compatible[0])
	}
}

// familyOf returns the row for a board: the one that has the most specific of its
// compatible strings, and of several rows the first. first says that it is the
// board's own string, and not that of its module or SoC.
func familyOf(compatible []string) (f *family, first bool) {
	for i, c := range compatible {
		for j := range families {
			for _, pattern := range families[j].match {
				if like(pattern, c) {
					return &families[j], i == 0
				}
			}
		}
	}
	return nil, false
}

// socOf returns the most specific compatible string that is of an SoC, without its
// vendor: "am5728" of "ti,am572x-beagle-x15", "ti,am5728", "ti,dra742", "ti,dra7".
func socOf(compatible []string) string {
	for _, c := range compatible {
		for _, pattern := range socs {
			if like(pattern, c) {
				_, name := splitCompatible(c)
				return name
			}
		}
	}
	return ""
}

// lastOf returns the last, least specific compatible string without its vendor. It
// is that of the SoC by convention, where the tables do not know better. A board
// with one string names itself and no SoC.
func lastOf(compatible []string) string {
	if len(compatible) < 2 {
		return ""
	}
	_, soc := splitCompatible(compatible[len(compatible)-1])
	return soc
}

// vendorOf names the maker of a board by the prefix of its most specific
// compatible string ("raspberrypi,4-model-b"). A prefix that vendors does not
// have is returned as it is.
func vendorOf(compatible []string) string {
	if len(compatible) == 0 {
		return ""
	}
	prefix, _ := splitCompatible(compatible[0])
	if name, ok := vendors[prefix]; ok {
		return name
	}
	return prefix
}

// splitCompatible returns the maker and the name that a compatible string joins by
// a comma (Devicetree Specification 0.4, section 2.3.1), without the blanks that
// none should have. Both are empty when there is no comma.
func splitCompatible(s string) (vendor, name string) {
	vendor, name, found := strings.Cut(s, ",")
	if !found {
		return "", ""
	}
	return strings.TrimSpace(vendor), strings.TrimSpace(name)
}

// like compares a compatible string with a pattern. A star stands for letters and
// digits, at least one, so that "fsl,imx8*" is an SoC and not the board
// "fsl,imx8mp-evk". Two stars at the end stand for anything, nothing included.
func like(pattern, s string) bool {
	for {
		literal, rest, star := strings.Cut(pattern, "*")
		if !strings.HasPrefix(s, literal) {
			return false
		}
		s = s[len(literal):]
		switch {
		case !star:
			return s == ""
		case rest == "*":
			return true
		}
		n := 0
		for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= '0' && s[n] <= '9') {
			n++
		}
		if n == 0 {
			return false
		}
		// What a star takes ends where letters and digits do, so a literal that
		// follows it begins with something else.
		s, pattern = s[n:], rest
	}
}
