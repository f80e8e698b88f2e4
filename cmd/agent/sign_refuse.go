package main

import (
	"bytes"
	"errors"
	"strings"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
)

// headSize is how much of the content refuseToSign wants to see, in bytes.
const headSize = 128

// refuseToSign refuses content that begins as what this key signs to prove who the
// machine is: whoever has such a thing signed could pose as the machine. It guards
// programs that sign what others send them; who can read the key's file can sign
// anything without us.
func refuseToSign(head []byte) error {
	what := ""
	switch {
	case bytes.HasPrefix(head, tls13):
		what = "a proof of identity in a TLS 1.3 handshake"
	case isClientHello(head):
		what = "a proof of identity in a TLS handshake"
	case isRequest(head):
		what = "the inside of a certificate signing request"
	default:
		return nil
	}
	return cli.Usage(errors.New("this content is not signed: it begins as "+what), "wrap it, in a tar archive for example, and sign that")
}

// tls13 is how all begins that TLS 1.3 signs with a certificate's key: RFC 8446,
// section 4.4.3.
var tls13 = []byte(strings.Repeat(" ", 64) + "TLS 1.3, ")

// isClientHello recognises the first handshake message, with which all begins that
// clients of TLS 1.0 to 1.2 sign: RFC 5246, sections 7.4, 7.4.1.2 and 7.4.8. Type,
// a length of 24 bits that is below 2^16 in practice, version.
func isClientHello(head []byte) bool {
	return len(head) >= 6 && head[0] == 1 && head[1] == 0 && head[4] == 3 && head[5] <= 3
}

// isRequest recognises a CertificationRequestInfo: RFC 2986, section 4.1. Version 0
// and a Name; a private key (RFC 5208) has an algorithm there, which begins with an
// object identifier.
func isRequest(head []byte) bool {
	const sequence, oid = 0x30, 0x06
	in, ok := enter(head, sequence)
	if !ok {
		return false
	}
	in, ok = bytes.CutPrefix(in, []byte{2, 1, 0})
	if !ok {
		return false
	}
	in, ok = enter(in, sequence)
	return ok && len(in) > 0 && in[0] != oid
}

// enter returns what follows the header of a DER element of that tag.
func enter(der []byte, tag byte) (inside []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, false
	}
	n := 2
	if der[1] > 0x80 { // the length of the length; 0x80 alone is of no known length, in BER
		n += int(der[1] & 0x7f)
	}
	if n > len(der) {
		return nil, false
	}
	return der[n:], true
}
