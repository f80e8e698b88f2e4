package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/proto/provisioning"
)

// Trailers that carry what a gRPC code cannot.
const (
	trailerErrorCode  = "error-code"  // gateway.Kind.String
	trailerRetryAfter = "retry-after" // seconds
)

// rpc is the gRPC door.
type rpc struct {
	*peer
	mu   sync.Mutex
	line *line // nil: none, or the last one went bad
}

// line is a connection and the reason why it did not come about. One that went
// bad is put aside for a new one: gRPC's own back-off would answer the next call
// with the old error, and a poll every few seconds needs no back-off. All
// fields are guarded by rpc.mu.
type line struct {
	conn    *grpc.ClientConn
	users   int
	stale   bool
	failure error // of the last dial or handshake; nil after a good one
}

func newGRPC(p *peer) *rpc { return &rpc{peer: p} }

// open returns a connection, which done must give back.
func (g *rpc) open() (*line, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.line == nil {
		l := &line{}
		note := func(err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			l.failure = err
		}
		var inner credentials.TransportCredentials = insecure.NewCredentials()
		if g.secure {
			inner = credentials.NewTLS(g.tlsConfig())
		}
		// passthrough: net.Dialer asks the name server, so that its error can be
		// told from others.
		conn, err := grpc.NewClient("passthrough:///"+g.address,
			grpc.WithTransportCredentials(noting{inner, note}),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				if err != nil {
					note(err)
				}
				return c, err
			}),
			grpc.WithUserAgent(g.UserAgent),
			grpc.WithDisableServiceConfig(),
			grpc.WithMaxHeaderListSize(64<<10),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(gateway.MaxEnvelope)))
		if err != nil {
			return nil, err
		}
		l.conn = conn
		g.line = l
	}
	g.line.users++
	return g.line, nil
}

// done gives l back; bad ones are closed when their last user is gone.
func (g *rpc) done(l *line, bad bool) (failure error) {
	g.mu.Lock()
	l.users--
	if bad {
		l.stale = true
		if g.line == l {
			g.line = nil
		}
	}
	failure = l.failure
	closing := l.stale && l.users == 0
	g.mu.Unlock()
	if closing {
		l.conn.Close()
	}
	return failure
}

// noting remembers how the handshake ended: gRPC makes a text of it.
type noting struct {
	credentials.TransportCredentials
	note func(error)
}

func (n noting) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, raw)
	n.note(err)
	return c, info, err
}

func (n noting) Clone() credentials.TransportCredentials {
	return noting{n.TransportCredentials.Clone(), n.note}
}

// call runs one unary call with the client's time-out, and turns its error into
// one with a kind.
func (g *rpc) call(ctx context.Context, step string, secrets []string,
	f func(context.Context, provisioningpb.GatewayServiceClient, ...grpc.CallOption) error) error {
	start := time.Now()
	err := g.exchange(ctx, step, secrets, f)
	g.logCall(ctx, step, start, err)
	return err
}

func (g *rpc) exchange(ctx context.Context, step string, secrets []string,
	f func(context.Context, provisioningpb.GatewayServiceClient, ...grpc.CallOption) error) error {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	l, err := g.open()
	if err != nil {
		return &gateway.Error{Kind: gateway.Internal, Step: step, Err: err}
	}
	var header, trailer metadata.MD
	err = f(ctx, provisioningpb.NewGatewayServiceClient(l.conn), grpc.Header(&header), grpc.Trailer(&trailer))
	st := status.Convert(err)
	answered := len(header)+len(trailer) > 0
	lost := !answered && (st.Code() == codes.Unavailable || st.Code() == codes.DeadlineExceeded)
	failure := g.done(l, lost)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return g.unreached(ctx, step, ctx.Err())
	case lost && failure != nil:
		return g.unreached(ctx, step, failure)
	case st.Code() == codes.DeadlineExceeded && len(trailer.Get(trailerErrorCode)) == 0:
		// The server keeps our time-out, too, and its clock may be the first to strike.
		return g.unreached(ctx, step, context.DeadlineExceeded)
	}
	return g.refused(step, st, metadata.Join(header, trailer), secrets)
}

// refused turns a status into an error: the error-code first, then the code.
func (g *rpc) refused(step string, st *status.Status, md metadata.MD, secrets []string) error {
	e := &gateway.Error{Kind: gateway.KindFromGRPC(uint32(st.Code())), Step: step}
	k, ours := gateway.Internal, false
	if v := md.Get(trailerErrorCode); len(v) > 0 {
		k, ours = gateway.KindFromErrorCode(v[0])
	}
	// The gateway's own refusals carry an error-code; what comes without one may
	// be a proxy's, while the gateway is being replaced. The content type reaches
	// us only when it is application/grpc.
	spoken := len(md.Get("content-type")) > 0
	who, said := "the gateway", sayable(st.Message(), secrets)
	switch {
	case ours:
		e.Kind = k
	case !spoken && ofPage(st):
		who, said = "something that is not a gRPC server", sayable(pageStatus(st), nil)
		e.Kind = gateway.Unreachable
		e.Advice = "check that server_url is the gateway's gRPC address, and whether a proxy or a portal stands in between"
	case st.Code() == codes.Unimplemented && step == stepAnnounce:
		e.Kind, e.Err = gateway.NotFound, gateway.ErrNoAnnounce
		return e
	case st.Code() == codes.Unauthenticated, st.Code() == codes.PermissionDenied:
		who = "something that is not the gateway"
		e.Kind = gateway.Unreachable
		e.Advice = "check whether a proxy stands in between that refuses the machine"
	case st.Code() == codes.FailedPrecondition && step != stepFind:
		e.Kind = gateway.Precondition // only FindManifest uses that code for "not claimed yet"
	case st.Code() == codes.Unimplemented:
		e.Advice = "check that server_url is the gateway's gRPC address"
	case st.Code() == codes.Unavailable:
		e.Advice = "check that the gateway speaks gRPC at that port, with or without TLS as server_url says"
	}
	if v := md.Get(trailerRetryAfter); len(v) > 0 {
		if _, err := strconv.ParseUint(v[0], 10, 64); err == nil {
			e.RetryAfter = parseRetryAfter(v[0], g.Now())
		}
	}
	e.Err = errors.New(who + " answered " + st.Code().String())
	if said != "" {
		e.Err = fmt.Errorf("%w: %s", e.Err, said)
	}
	return e
}

// pageText is how gRPC begins its message on an answer over HTTP/2 that is not
// gRPC. Kinds follow from it only where gRPC's code is the same as for a fault
// of ours.
const pageText = "unexpected HTTP status code"

// ofPage says whether st, which came without any metadata, can be what gRPC made
// of an HTTP answer (gRPC's doc/http-grpc-status-mapping.md): a code that it
// does not make up otherwise, or its message.
func ofPage(st *status.Status) bool {
	switch st.Code() {
	case codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied, codes.Unknown:
		return true
	}
	return strings.HasPrefix(st.Message(), pageText)
}

// pageStatus returns what gRPC says about the HTTP status; behind it come the
// content type and the page itself.
func pageStatus(st *status.Status) string {
	s, _, _ := strings.Cut(st.Message(), "\n")
	s, _, _ = strings.Cut(s, ";")
	return s
}

func (g *rpc) Ping(ctx context.Context) error {
	return g.call(ctx, stepPing, nil, func(ctx context.Context, c provisioningpb.GatewayServiceClient, o ...grpc.CallOption) error {
		_, err := c.Ping(ctx, &provisioningpb.PingRequest{}, o...)
		return err
	})
}

func (g *rpc) Announce(ctx context.Context, a gateway.Announcement) (gateway.Session, error) {
	q := &provisioningpb.AnnounceRequest{Code: a.Code, Csr: a.CSR, Board: &provisioningpb.Board{
		Vendor: a.Board.Vendor, Model: a.Board.Model, Serial: a.Board.Serial,
		Soc: a.Board.SoC, Revision: a.Board.Revision, Architecture: a.Board.Architecture,
	}}
	if t := a.TPM; t != nil {
		q.Attestation = &provisioningpb.TPMIdentity{EkCertificates: t.EKCertificates, EkPublic: t.EKPublic, AkPublic: t.AKPublic}
	}
	var r *provisioningpb.AnnounceResponse
	err := g.call(ctx, stepAnnounce, []string{a.Code}, func(ctx context.Context, c provisioningpb.GatewayServiceClient, o ...grpc.CallOption) (err error) {
		r, err = c.Announce(ctx, q, o...)
		return err
	})
	if err != nil {
		return gateway.Session{}, err
	}
	s, err := gateway.SessionPayload{
		DeviceCode: r.GetDeviceCode(), ExpiresIn: r.GetExpiresIn(), Interval: r.GetInterval(),
		VerificationURI: r.GetVerificationUri(), VerificationURIComplete: r.GetVerificationUriComplete(),
	}.Session(a.Code, g.Now())
	if err != nil {
		return gateway.Session{}, badAnswer(stepAnnounce, err)
	}
	return s, nil
}

func (g *rpc) FindManifest(ctx context.Context, code string, deviceCode gateway.Secret) (gateway.Manifest, error) {
	if deviceCode != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+deviceCode.Reveal())
	}
	var r *provisioningpb.FindManifestResponse
	err := g.call(ctx, stepFind, []string{code, deviceCode.Reveal()}, func(ctx context.Context, c provisioningpb.GatewayServiceClient, o ...grpc.CallOption) (err error) {
		r, err = c.FindManifest(ctx, &provisioningpb.FindManifestRequest{Code: code}, o...)
		return err
	})
	if err != nil {
		return gateway.Manifest{}, err
	}
	answer := gateway.Manifest{MachineID: r.GetMachineId(), CertSignURL: r.GetCertSignUrl(),
		CertValidUpto: r.GetCertValidUpto(), Token: gateway.Secret(r.GetToken())}
	if c := r.GetAttestation(); c != nil {
		answer.Challenge = &gateway.Challenge{Nonce: c.GetNonce(), Credential: c.GetCredential(), Secret: c.GetSecret()}
	}
	m, err := g.manifest(answer)
	if err != nil {
		return gateway.Manifest{}, badAnswer(stepFind, err)
	}
	return m, nil
}

func (g *rpc) Sign(ctx context.Context, s gateway.SignRequest) (gateway.Issued, error) {
	q := &provisioningpb.SignCertificateRequest{Csr: s.CSR, MachineId: s.MachineID,
		RequestType: string(s.Type), Token: s.Token.Reveal()}
	if e := s.Evidence; e != nil {
		q.Attestation = &provisioningpb.Evidence{KeyPublic: e.KeyPublic, Attest: e.Attest, Signature: e.Signature, Activated: e.Activated}
	}
	var r *provisioningpb.SignCertificateResponse
	err := g.call(ctx, stepSign, []string{s.Token.Reveal()}, func(ctx context.Context, c provisioningpb.GatewayServiceClient, o ...grpc.CallOption) (err error) {
		r, err = c.SignCertificate(ctx, q, o...)
		return err
	})
	if err != nil {
		return gateway.Issued{}, err
	}
	i, err := g.issued(gateway.Issued{Cert: r.GetCert(), RootCert: r.GetRootCert(), CABundle: r.GetCaBundle()})
	if err != nil {
		return gateway.Issued{}, badAnswer(stepSign, err)
	}
	return i, nil
}

func (g *rpc) Close() error {
	g.mu.Lock()
	l := g.line
	g.line = nil
	g.mu.Unlock()
	if l != nil {
		return l.conn.Close()
	}
	return nil
}
