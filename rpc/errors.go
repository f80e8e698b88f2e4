package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mecha-org/mecha-agent/gateway"
)

// Trailers that an error carries besides its status: the kind in the gateway's
// words, and what a person can do about it.
const (
	TrailerErrorCode = "error-code"
	TrailerHint      = "hint"
)

// errReadOnly is PERMISSION_DENIED, which is none of the gateway's kinds.
var errReadOnly = status.Error(codes.PermissionDenied,
	"machines of the fleet may only ask here: set server.client_ca to let its holders change this machine")

var errPanicked = errors.New("the agent failed on this request; its log says more")

// toStatus gives an error its gRPC code: the kind's, as gateway/kind.go lists
// them. What already is a status stays one.
func toStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return s.GRPCStatus().Err()
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, err.Error())
	}
	kind := gateway.KindOf(err)
	trailer := metadata.Pairs(TrailerErrorCode, kind.String())
	if hint := gateway.HintOf(err); hint != "" {
		trailer.Append(TrailerHint, printable(hint))
	}
	_ = grpc.SetTrailer(ctx, trailer) // fails only when the call is over; nobody reads it then
	return status.Error(codes.Code(kind.GRPCCode()), err.Error())
}

// printable makes a text fit for metadata, which takes printable ASCII only.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
