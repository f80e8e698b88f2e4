package tpm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// properties of a TPM as two responses of TPM2_GetCapability, the first half of
// the fixed ones and the variable ones.
const (
	seedFixed = "\x80\x01\x00\x00\x00\x33\x00\x00\x00\x00" + "\x00" + "\x00\x00\x00\x06" + "\x00\x00\x00\x04" +
		"\x00\x00\x01\x05IFX\x00" + "\x00\x00\x01\x06SLB9" + "\x00\x00\x01\x07670\x00" + "\x00\x00\x01\x0b\x00\x07\x00\x55"
	seedVariable = "\x80\x01\x00\x00\x00\x2b\x00\x00\x00\x00" + "\x00" + "\x00\x00\x00\x06" + "\x00\x00\x00\x03" +
		"\x00\x00\x02\x00\x00\x00\x02\x01" + "\x00\x00\x02\x0e\x00\x00\x00\x02" + "\x00\x00\x02\x0f\x00\x00\x00\x20"
	seedMore = "\x80\x01\x00\x00\x00\x1b\x00\x00\x00\x00" + "\x01" + "\x00\x00\x00\x06" + "\x00\x00\x00\x01" +
		"\x00\x00\x01\x05IFX\x00"
)

// transcript answers with its parts, the last one for ever.
type transcript struct {
	parts [][]byte
	asked int
}

func (s *transcript) Send([]byte) ([]byte, error) {
	part := s.parts[min(s.asked, len(s.parts)-1)]
	s.asked++
	return part, check(part)
}

func TestInspectProperties(t *testing.T) {
	got, err := inspect(&transcript{parts: [][]byte{[]byte(seedFixed), []byte(seedVariable)}})
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Manufacturer: "IFX", Maker: "Infineon", Vendor: "SLB9670", Firmware: "7.85.0.0", Revision: "0.00",
		LockoutCounter: 2, MaxTries: 32, InLockout: true, OwnerAuth: true, Cleanable: true}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A TPM may give its properties one by one.
func TestInspectMoreData(t *testing.T) {
	s := &transcript{parts: [][]byte{[]byte(seedMore), []byte(strings.Replace(seedFixed, "IFX\x00", "XXXX", 1)), []byte(seedVariable)}}
	got, err := inspect(s)
	if err != nil {
		t.Fatal(err)
	}
	if got.Manufacturer != "IFX" || got.Vendor != "SLB9670" || s.asked != 3 {
		t.Errorf("asked %d times: got %+v", s.asked, got)
	}
}

// What a TPM says of itself goes to terminals and logs.
func FuzzInspect(f *testing.F) {
	for _, s := range []struct{ fixed, variable string }{
		{seedFixed, seedVariable}, {seedMore, seedMore}, {seedMore, seedFixed}, {string(reply(tpm2.TPMRCInitialize)), ""},
		{"", ""}, {"\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", ""},
		{"\x80\x01\x00\x00\x00\x13\x00\x00\x00\x00\x00\x00\x00\x00\x06\xff\xff\xff\xff", ""},
	} {
		f.Add([]byte(s.fixed), []byte(s.variable))
	}
	f.Fuzz(func(t *testing.T, fixed, variable []byte) {
		s := &transcript{parts: [][]byte{fixed, variable}}
		info, err := inspect(s)
		if s.asked > 32 { // one property a time
			t.Fatalf("asked %d times", s.asked)
		}
		if err != nil {
			var code tpm2.TPMRC
			if !errors.As(err, &code) && !errors.Is(err, ErrGarbage) && !errors.Is(err, ErrVersion) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for _, word := range []string{info.String(), info.Manufacturer, info.Vendor, info.Maker} {
			if len(word) > 64 || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("got %q", word)
			}
		}
	})
}

// FuzzResponse reads responses as they come from a socket.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(seedFixed))
	f.Add([]byte("\x80\x01\x00\x00\x00\x09"))
	f.Add([]byte("\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, err := readResponse(strings.NewReader(string(stream)))
		switch {
		case err != nil && len(got) > 0:
			t.Errorf("got both %x and %v", got, err)
		case err == nil && !strings.HasPrefix(string(stream), string(got)):
			t.Errorf("%x is not in front of %x", got, stream)
		case err == nil && check(got) == nil && len(got) > maxMessage:
			t.Errorf("%d bytes", len(got))
		}
	})
}
