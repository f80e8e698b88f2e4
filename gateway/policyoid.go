package gateway

import "crypto/x509"

// policyOIDs are the certificate policies (RFC 5280, 4.2.1.4) by which a machine
// certificate says what its Attestation is. They mean that only in certificates of
// this CA: 32473 is the enterprise number for examples (RFC 5612), since this
// project owns none, and an operator's own rules name the CA first. OIDs made of a
// UUID (2.25, ITU-T X.667) were tried: parsers that hold an arc in 32 bits, Go's
// encoding/asn1 and zlint's among them, refuse the whole certificate for one.
// They stay as they are for good.
var policyOIDs = map[Attestation]string{
	TPMProven:   "1.3.6.1.4.1.32473.1.1",
	TPMUnproven: "1.3.6.1.4.1.32473.1.2",
	SoftwareKey: "1.3.6.1.4.1.32473.1.3",
}

// PolicyOID returns the certificate policy that stands for a; false for the empty
// one and for what is none.
func (a Attestation) PolicyOID() (x509.OID, bool) {
	text, ok := policyOIDs[a]
	if !ok {
		return x509.OID{}, false
	}
	oid, err := x509.ParseOID(text)
	return oid, err == nil
}

// AttestationOf returns what a machine certificate says; empty when it says
// nothing. It is worth as much as the verification of the certificate before.
func AttestationOf(c *x509.Certificate) Attestation {
	for _, oid := range c.Policies {
		for a, text := range policyOIDs {
			if oid.String() == text {
				return a
			}
		}
	}
	return ""
}
