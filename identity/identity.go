// Package identity keeps what a machine is: its key, certificate signing
// request, certificate and chain on disk. Generations and one atomic switch see
// to it that a crash at any instruction leaves the old identity or the new one,
// never a mixture, and nothing is stored that was not verified in full.
//
// The state folder looks like this:
//
//	lock                      held (flock) by the one process at work
//	pending/key.pem           key of the identity in the making; the keystore may
//	                          keep more beside it, key.pem.*
//	gen-7/{key,csr,machine,ca_bundle,root}.pem
//	current -> gen-7          the switch: one rename
//	session.json              code announced last
//	keystore                  which keystore was chosen; keystore/choose writes it
//	removing                  a removal is under way; Open finishes it
//	adopting/                 files of another program, being copied
//
// Each configured path is a symbolic link to current/<file>.
package identity

import (
	"errors"
	"time"
)

// Paths says where an identity is found by other programs. Each path is a
// symbolic link into the state folder, so that one rename switches all five.
type Paths struct {
	Key      string
	CSR      string
	Cert     string
	CABundle string
	Root     string
	State    string // folder of the generations, 0700
}

// Identity is a verified identity as it lies on disk.
type Identity struct {
	MachineID string
	NotBefore time.Time
	NotAfter  time.Time
	CertPEM   string
	BundlePEM string // intermediates, one after the other, the issuer of the certificate first
	RootPEM   string
}

// Errors of Store; compare with errors.Is.
var (
	ErrNone       = errors.New("the machine has no identity")
	ErrUnverified = errors.New("the gateway's answer does not verify")
	ErrClock      = errors.New("the clock of this machine is behind") // together with ErrUnverified; time mends it
	ErrStorage    = errors.New("storing the identity")
	ErrDamaged    = errors.New("the identity on disk is damaged")
	ErrLocked     = errors.New("another process works on the identity")
	ErrClosed     = errors.New("the identity store is closed")
)
