package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/cmd/internal/cli"
	"github.com/mecha-org/mecha-agent/gateway"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/rpc"
	"github.com/mecha-org/mecha-agent/settings"
)

// daemonClient is a connection to the running agent.
type daemonClient struct {
	provisioningpb.ProvisioningServiceClient
	conn *grpc.ClientConn
	key  io.Closer // of a connection as a machine, or nil
}

// dial connects to --address, else to the agent's socket, else to its port. With
// --machine it is over TLS; ctx bounds the opening of this machine's key.
func (a *app) dial(ctx context.Context) (daemonClient, error) {
	target := a.address
	if target == "" {
		cfg, _, err := a.load()
		if err != nil {
			return daemonClient{}, err
		}
		target = agentAddress(cfg.Server)
	}
	if target == "" {
		return daemonClient{}, cli.Usage(errors.New("the settings name neither a socket nor a port of the agent"),
			"set server.socket, or pass --address")
	}
	d, creds := daemonClient{}, insecure.NewCredentials()
	if a.machine != "" {
		tlsCreds, key, err := a.asMachine(ctx)
		if err != nil {
			return daemonClient{}, err
		}
		d.key, creds = key, tlsCreds
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds),
		grpc.WithChainUnaryInterceptor(explainUnary), grpc.WithDisableServiceConfig())
	if err != nil {
		d.Close()
		return daemonClient{}, cli.Usage(fmt.Errorf("address of the agent: %w", err),
			"write --address unix:/path/to/socket or --address 127.0.0.1:3001")
	}
	d.ProvisioningServiceClient, d.conn = provisioningpb.NewProvisioningServiceClient(conn), conn
	return d, nil
}

func (d daemonClient) Close() {
	if d.conn != nil {
		d.conn.Close()
	}
	if d.key != nil {
		d.key.Close()
	}
}

// agentAddress is where the agent of these settings answers: its socket, or its
// loopback port. With TLS beyond loopback there is the socket.
func agentAddress(s settings.Server) string {
	switch {
	case s.Socket != "":
		return "unix:" + s.Socket
	case s.URL != "" && !s.TLS:
		return "passthrough:" + net.JoinHostPort(s.URL, strconv.Itoa(s.Port))
	}
	return ""
}

// explainUnary turns what the daemon answered back into an error with a kind
// and a hint.
func explainUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var trailer metadata.MD
	err := invoke(ctx, method, req, reply, conn, append(opts, grpc.Trailer(&trailer))...)
	return explain(err, trailer)
}

func explain(err error, trailer metadata.MD) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	if names := trailer.Get(rpc.TrailerErrorCode); len(names) > 0 {
		kind, _ := gateway.KindFromErrorCode(names[0])
		return &gateway.Error{Kind: kind, Err: errors.New(s.Message()), Advice: strings.Join(trailer.Get(rpc.TrailerHint), "; ")}
	}
	switch s.Code() {
	case codes.Unavailable:
		advice := "start it with: mecha-agent run"
		switch {
		case strings.Contains(s.Message(), "tls: "):
			advice = "the log of the agent that was called says why; on its own machine the socket works always"
		case strings.Contains(s.Message(), "error reading server preface"): // somebody answers, without HTTP/2
			advice = "a port that wants TLS answers so: pass --machine ID"
		}
		if strings.Contains(s.Message(), os.ErrPermission.Error()) {
			advice = "the socket is for its owner and group: join the group, or use sudo"
		}
		return cli.Fail(exitNoAgent, fmt.Errorf("asking the agent: %s", dialReason(s.Message())), advice)
	case codes.DeadlineExceeded:
		return &gateway.Error{Kind: gateway.Deadline, Err: errors.New("the agent did not answer in time"), Advice: "try again, or pass a longer --timeout"}
	case codes.Canceled:
		return cli.Fail(cli.ExitFailure, errors.New("interrupted"), "")
	}
	return &gateway.Error{Kind: gateway.KindFromGRPC(uint32(s.Code())), Err: errors.New(s.Message())}
}

// dialReason is the operating system's part of what gRPC says of a connection
// that could not be made.
func dialReason(message string) string {
	for _, before := range []string{"Error while dialing: ", "authentication handshake failed: ", "error reading server preface: "} {
		if _, reason, ok := strings.Cut(message, before); ok {
			return strings.TrimSuffix(reason, `"`)
		}
	}
	return message
}

// formatTime is a time as people on the command line read it; "-" for none.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}
