package gateway

import "crypto/x509"

// The certificate policies (RFC 5280, 4.2.1.4) by which a machine certificate says
// what its Attestation is. Each is a random UUID (RFC 9562, version 4) below the
// arc 2.25, where anybody may name things without asking (ITU-T X.667, clause 6):
// this project owns no arc of its own. They stay as they are for good.
//
//	tpm-proven   13312f67-4115-4b57-b226-765d0970c719
//	tpm-unproven 2ca109c4-18a1-4076-b3b3-24c5e44e655f
//	software     0af6ccd3-2087-4bba-b190-d9c3b0363e41
var policyOIDs = map[Attestation]string{
	TPMProven:   "2.25.25510715919875987612496390367025874713",
	TPMUnproven: "2.25.59322189686789273030594579508736451935",
	SoftwareKey: "2.25.14573739323817244697504886223831187009",
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
