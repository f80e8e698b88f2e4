// Package gateway holds the words that device and gateway share: routes,
// requests and answers, the kinds of errors that cross the wire, user codes and
// the rules for certificate signing requests. It speaks no protocol itself:
// gateway/client is the device's side, gateway/server the other.
package gateway

import "time"

// HTTP routes of the gateway, below its server_url.
const (
	RoutePing          = "/v1/ping"
	RouteAnnounce      = "/v1/provisioning/announce"
	RouteFindManifest  = "/v1/provisioning/manifest/find" // ?code=ABC123
	RouteSign          = "/v1/provisioning/cert/sign"
	RouteClaim         = "/v1/machines/provision-requests/new"
	RouteRequestStatus = "/v1/machines/provision-requests/status" // ?id=N
	RouteFindRequest   = "/v1/machines/provision-requests/find"   // what stands behind a code
	RouteMachines      = "/v1/machines"                           // ?after=ID&limit=N
	RouteRevoke        = "/v1/machines/revoke"
	RouteAPIKeys       = "/v1/api-keys/new"
	RouteRoot          = "/v1/ca/root.pem"
	RouteCRL           = "/v1/ca/crl"
	RouteRootCRL       = "/v1/ca/root.crl"
)

// Headers that carry an operator's API key, over HTTP and (in lower case) as
// gRPC metadata. The device code travels as "Authorization: Bearer ...".
const (
	HeaderAPIKeyID     = "X-Api-Key-Id"
	HeaderAPIKeySecret = "X-Api-Key-Secret"
)

// Board is what a device says of itself. Nothing in it is proven: an operator
// compares it with what stands on the desk.
type Board struct {
	Vendor       string `json:"vendor,omitempty"`
	Model        string `json:"model,omitempty"`
	Serial       string `json:"serial,omitempty"`
	SoC          string `json:"soc,omitempty"`
	Revision     string `json:"revision,omitempty"`
	Architecture string `json:"architecture,omitempty"`
}

// Announcement binds a user code to the device key that signed the CSR.
type Announcement struct {
	Code  string // user code in canonical form, see ParseCode
	CSR   string // PKCS#10 (RFC 2986), PEM, self-signed by the device key
	Board Board
	TPM   *TPMIdentity // nil: the key is in no TPM
}

// Session is the gateway's answer to an announcement (RFC 8628, section 3.2),
// together with the code it belongs to: all that a device needs in order to go
// on after a restart.
type Session struct {
	Code                    string
	DeviceCode              Secret // empty: the gateway has no announce route
	Expires                 time.Time
	Interval                time.Duration // least time between two polls
	VerificationURI         string
	VerificationURIComplete string
}

// Manifest is what the gateway says of a code that an operator has claimed.
type Manifest struct {
	MachineID     string
	CertSignURL   string     // path below server_url
	CertValidUpto string     // RFC 3339
	Token         Secret     // one-time; empty from a gateway that knows no tokens
	Challenge     *Challenge // nil: no TPM was announced, or the gateway asks for no evidence
}

// RequestType says why a certificate is asked for.
type RequestType string

// The request types that the sign route knows.
const (
	Provision RequestType = "Provision"
	ReIssue   RequestType = "ReIssue"
)

// SignRequest asks for a certificate.
type SignRequest struct {
	URL       string // path below server_url; empty: RouteSign
	CSR       string // PKCS#10, PEM, CN = MachineID
	MachineID string
	Type      RequestType
	Token     Secret
	Evidence  *Evidence // for the Challenge of the manifest that Token is from; nil: none
}

// Issued is a signed certificate with its chain, all PEM.
type Issued struct {
	Cert     string
	RootCert string
	CABundle []string // intermediates, the issuer of Cert first
}

// PendingRequest is what an operator sees before saying yes.
type PendingRequest struct {
	Board          Board
	KeyFingerprint string // see Fingerprint
	Expires        time.Time
	// Attestation is what the certificate will say if the TPM proves itself when it
	// asks for it: the announcement alone ties no key to the TPM.
	Attestation Attestation
	TPM         TPM
}

// Claim is the answer to an operator's yes.
type Claim struct {
	RequestID int64
	MachineID string
}

// RequestState is the state of a claimed request, in the original API's words.
type RequestState string

// The states of a claimed request.
const (
	RequestPending  RequestState = "PENDING"
	RequestComplete RequestState = "COMPLETE"
)

// Machine is a row of the fleet's registry. Zero times mean "not yet".
type Machine struct {
	ID                 string
	Board              Board
	KeyFingerprint     string
	Created            time.Time
	CertificateSerial  string // hex, newest certificate
	CertificateExpires time.Time
	Revoked            time.Time
	Attestation        Attestation // of the newest certificate
	TPM                TPM         // as of then
}
