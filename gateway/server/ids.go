package server

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// newMachineID returns a random UUID (RFC 9562, version 4).
func newMachineID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return formatUUID(b, 4)
}

// machineIDFor returns a UUID (RFC 9562, version 8) that holds the request's id
// beside 74 random bits: an agent of the original brings nothing but its machine
// id, and the request has to be found by it.
func machineIDFor(request int64) string {
	var b [16]byte
	rand.Read(b[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(request))
	copy(b[:6], n[2:])
	return formatUUID(b, 8)
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func requestOfMachine(id string) (int64, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 || b[6]>>4 != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...))), true
}
