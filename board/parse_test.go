package board

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{" a \t b\r\n", "a b"},
		{"\x00\x1b[31mred\x7f", "[31mred"},
		{"a\xffb", "ab"},
		{"a\u202eb\ufffd", "ab"}, // an override of the reading direction
		{"é ü", "é ü"},
		{strings.Repeat("x", 500), strings.Repeat("x", maxText)},
		{strings.Repeat("x", maxText-1) + " y", strings.Repeat("x", maxText-1)},
	}
	for _, tt := range tests {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCleanSerial(t *testing.T) {
	for in, want := range map[string]string{
		"0000000000000000\n": "", "": "", "----": "", "éé": "",
		"00000000d41d8cd9": "00000000d41d8cd9",
	} {
		if got := cleanSerial(in); got != want {
			t.Errorf("cleanSerial(%q) = %q, want %q", in, got, want)
		}
	}
}

// checkText fails when s is no field of a Board.
func checkText(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText || strings.ContainsAny(s, "\x00\n\r\t\x1b") {
		t.Errorf("unfit to print: %q", s)
	}
	if again := clean(s); again != s {
		t.Errorf("clean(%q) = %q", s, again)
	}
}

func FuzzDeviceTreeStrings(f *testing.F) {
	f.Add([]byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00"))
	f.Add([]byte("linux,dummy-virt"))
	f.Add([]byte("\x00\x00,\x00a,\x00,b\x00"))
	f.Add([]byte{})
	f.Add([]byte("\xff\xfe \x01"))
	f.Add([]byte("0 , a")) // blanks at the comma are no part of the maker's name
	f.Fuzz(func(t *testing.T, data []byte) {
		list := parseStrings(data)
		for _, s := range list {
			checkText(t, s)
		}
		if again := parseStrings(formatStrings(list)); !slices.Equal(again, list) {
			t.Errorf("%q prints and parses as %q", list, again)
		}
		b := Board{Name: Generic, Compatible: list}
		b.family()
		checkText(t, b.Vendor)
		checkText(t, b.SoC)
		checkText(t, b.Model)
	})
}

func FuzzCPUInfo(f *testing.F) {
	f.Add([]byte(piZeroCPUInfo))
	f.Add([]byte(laptopCPUInfo))
	f.Add([]byte("a:b:c\n : \n:\n\nno colon\nSerial\t\t: 0000\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := parseCPUInfo(data)
		for _, p := range list {
			checkText(t, p.key)
			checkText(t, p.value)
		}
		if again := parseCPUInfo(formatCPUInfo(list)); !slices.Equal(again, list) {
			t.Errorf("%q prints and parses as %q", list, again)
		}
		if _, err := Detect(tree("proc/cpuinfo", string(data))); err != nil {
			t.Error(err)
		}
	})
}

// formatCPUInfo is the reverse of parseCPUInfo.
func formatCPUInfo(list []pair) []byte {
	var out []byte
	for _, p := range list {
		out = append(out, p.key+"\t: "+p.value+"\n"...)
	}
	return out
}

// formatStrings is the reverse of parseStrings.
func formatStrings(list []string) []byte {
	var out []byte
	for _, s := range list {
		out = append(append(out, s...), 0)
	}
	return out
}
