package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Operator is what a person with an API key asks of the gateway, over HTTP. It
// is safe for concurrent use; every error is a *gateway.Error in its chain.
type Operator struct {
	web *web
	key func() (id, secret string) // a function, so that no %+v prints it
}

// NewOperator returns an operator's client. The API key goes along with every
// request; cfg.ServerURL must be http or https, with the same rules as for New.
func NewOperator(cfg Config, keyID string, secret gateway.Secret) (*Operator, error) {
	p, err := newPeer(cfg)
	if err != nil {
		return nil, err
	}
	const step = "setting up the operator's client"
	switch {
	case p.grpc:
		return nil, &gateway.Error{Kind: gateway.BadRequest, Step: step,
			Err:    fmt.Errorf("the operator's API is not spoken over %s", p.url.Scheme),
			Advice: "write http or https, the port is the same"}
	case keyID == "" || secret == "" || !printable(keyID) || !printable(secret.Reveal()):
		return nil, &gateway.Error{Kind: gateway.Unauthorized, Step: step,
			Err:    errors.New("the API key's id or secret is missing or not printable"),
			Advice: "give the id and the secret of an API key"}
	}
	return &Operator{newHTTP(p), func() (string, string) { return keyID, secret.Reveal() }}, nil
}

func (o *Operator) call(ctx context.Context, q request, payload any) error {
	id, secret := o.key()
	q.header = http.Header{gateway.HeaderAPIKeyID: {id}, gateway.HeaderAPIKeySecret: {secret}}
	q.secrets = append(q.secrets, secret)
	err := o.web.call(ctx, q, payload)
	var e *gateway.Error
	if errors.As(err, &e) && e.Advice == "" {
		e.Advice = advice[e.Kind]
	}
	return err
}

// advice is what an operator can do when the gateway itself says no.
var advice = map[gateway.Kind]string{
	gateway.Unauthorized: "check the API key: its id and secret must be from this gateway",
	gateway.TooMany:      "wait before the next try",
}

// code checks a code before it goes out: one that cannot exist costs the
// operator a wrong guess at the gateway.
func (o *Operator) code(step, code string) (string, error) {
	c, err := gateway.ParseCode(code)
	if err != nil {
		return "", &gateway.Error{Kind: gateway.BadRequest, Step: step, Err: err,
			Advice: "read the code off the device again"}
	}
	return c, nil
}

// Find shows what stands behind a code before the claim. Kind NotFound when the
// code is unknown or has expired, Precondition when it was claimed.
func (o *Operator) Find(ctx context.Context, code string) (gateway.PendingRequest, error) {
	const step = "looking the code up"
	code, err := o.code(step, code)
	if err != nil {
		return gateway.PendingRequest{}, err
	}
	var p gateway.FindPayload
	err = o.call(ctx, request{step: step, method: http.MethodGet, path: gateway.RouteFindRequest,
		query: url.Values{"code": {code}}, secrets: []string{code}}, &p)
	if err != nil {
		return gateway.PendingRequest{}, forCode(err)
	}
	return p.PendingRequest(), nil
}

// Claim says yes: the machine that announced the code may be signed. fingerprint
// is the key that Find showed; kind Precondition when the code is another
// machine's by now. An empty one takes any machine.
func (o *Operator) Claim(ctx context.Context, code, fingerprint string) (gateway.Claim, error) {
	const step = "claiming the code"
	code, err := o.code(step, code)
	if err != nil {
		return gateway.Claim{}, err
	}
	var p gateway.ClaimPayload
	err = o.call(ctx, request{step: step, method: http.MethodPost, path: gateway.RouteClaim,
		body: gateway.ClaimBody{ProvisionCode: code, KeyFingerprint: fingerprint}, secrets: []string{code}}, &p)
	if err != nil {
		return gateway.Claim{}, forCode(err)
	}
	if p.MachineID == "" {
		return gateway.Claim{}, badAnswer(step, errors.New("it has no machineId"))
	}
	return p.Claim(), nil
}

func forCode(err error) error {
	var e *gateway.Error
	if errors.As(err, &e) && e.Kind == gateway.NotFound && e.Advice == "" {
		e.Advice = "the code is wrong or has expired: read it off the device again"
	}
	return err
}

// RequestStatus tells whether a claimed request led to a certificate.
func (o *Operator) RequestStatus(ctx context.Context, id int64) (gateway.RequestState, error) {
	const step = "asking for the request's status"
	var p gateway.RequestStatusPayload
	err := o.call(ctx, request{step: step, method: http.MethodPost, path: gateway.RouteRequestStatus,
		query: url.Values{"id": {strconv.FormatInt(id, 10)}}}, &p)
	if err != nil {
		return "", err
	}
	if p.StatusCode != gateway.RequestPending && p.StatusCode != gateway.RequestComplete {
		return "", badAnswer(step, errors.New("its statusCode is neither PENDING nor COMPLETE"))
	}
	return p.StatusCode, nil
}

// Machines returns at most limit machines, 1 to 1000 or 0 for 100, with an id
// greater than after, in order of id. A short page is the last one.
func (o *Operator) Machines(ctx context.Context, after string, limit int) ([]gateway.Machine, error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var p gateway.MachinesPayload
	err := o.call(ctx, request{step: "listing the machines", method: http.MethodGet, path: gateway.RouteMachines, query: q}, &p)
	if err != nil {
		return nil, err
	}
	return p.List(), nil
}

// Revoke revokes every certificate of a machine, for good, and returns when
// that was done first.
func (o *Operator) Revoke(ctx context.Context, machineID string) (time.Time, error) {
	const step = "revoking the machine"
	var p gateway.RevokePayload
	err := o.call(ctx, request{step: step, method: http.MethodPost, path: gateway.RouteRevoke,
		body: gateway.RevokeBody{MachineID: machineID}}, &p)
	if err != nil {
		return time.Time{}, err
	}
	if p.Revoked.IsZero() {
		return time.Time{}, badAnswer(step, errors.New("it has no time of revocation"))
	}
	return p.Revoked, nil
}

// NewAPIKey makes another operator's key. name says what it is for, 1 to 64
// characters. The secret is told this once.
func (o *Operator) NewAPIKey(ctx context.Context, name string) (id string, secret gateway.Secret, err error) {
	const step = "making an API key"
	var p gateway.APIKeyPayload
	err = o.call(ctx, request{step: step, method: http.MethodPost, path: gateway.RouteAPIKeys,
		body: gateway.APIKeyBody{Name: name}}, &p)
	if err != nil {
		return "", "", err
	}
	if id, secret = p.APIKey(); id == "" || secret == "" {
		return "", "", badAnswer(step, errors.New("it lacks the id or the secret"))
	}
	return id, secret, nil
}

// Close closes idle connections.
func (o *Operator) Close() error { return o.web.Close() }
