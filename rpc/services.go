package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mecha-org/mecha-agent/gateway"
	identitypb "github.com/mecha-org/mecha-agent/proto/identity"
	provisioningpb "github.com/mecha-org/mecha-agent/proto/provisioning"
	"github.com/mecha-org/mecha-agent/provision"
)

// provisioning answers provisioning.ProvisioningService.
type provisioning struct {
	provisioningpb.UnimplementedProvisioningServiceServer
	c Config
}

func (s *provisioning) Ping(ctx context.Context, _ *provisioningpb.PingRequest) (*provisioningpb.PingResponse, error) {
	if err := s.c.Exchange.Ping(ctx); err != nil {
		return nil, err
	}
	return &provisioningpb.PingResponse{Code: "success"}, nil
}

func (s *provisioning) GenerateCode(ctx context.Context, _ *provisioningpb.GenerateCodeRequest) (*provisioningpb.GenerateCodeResponse, error) {
	code, err := s.c.Exchange.GenerateCode(ctx)
	if err != nil {
		return nil, err
	}
	return &provisioningpb.GenerateCodeResponse{Code: code}, nil
}

func (s *provisioning) ProvisionByCode(ctx context.Context, r *provisioningpb.ProvisioningRequest) (*provisioningpb.ProvisioningStatusResponse, error) {
	done, err := s.c.Exchange.ProvisionByCode(ctx, r.GetCode())
	if err != nil {
		return nil, err
	}
	return &provisioningpb.ProvisioningStatusResponse{Success: done}, nil
}

func (s *provisioning) Deprovision(ctx context.Context, _ *provisioningpb.Empty) (*provisioningpb.ProvisioningStatusResponse, error) {
	removed, err := s.c.Exchange.Deprovision(ctx)
	if err != nil {
		return nil, err
	}
	s.c.Log.Info("deprovisioned", "removed", removed)
	return &provisioningpb.ProvisioningStatusResponse{Success: true}, nil
}

func (s *provisioning) Status(context.Context, *provisioningpb.StatusRequest) (*provisioningpb.StatusResponse, error) {
	return s.status(s.c.Exchange.Status()), nil
}

func (s *provisioning) WatchStatus(_ *provisioningpb.StatusRequest, to grpc.ServerStreamingServer[provisioningpb.StatusResponse]) error {
	for st := range s.c.Exchange.Watch(to.Context()) {
		if err := to.Send(s.status(st)); err != nil {
			return err
		}
	}
	return nil
}

// states maps the state machine's states to the contract's.
var states = map[provision.State]provisioningpb.State{
	provision.Idle:        provisioningpb.State_STATE_IDLE,
	provision.CodeShown:   provisioningpb.State_STATE_CODE_SHOWN,
	provision.Claimed:     provisioningpb.State_STATE_CLAIMED,
	provision.Signing:     provisioningpb.State_STATE_SIGNING,
	provision.Provisioned: provisioningpb.State_STATE_PROVISIONED,
	provision.Failed:      provisioningpb.State_STATE_FAILED,
}

func (s *provisioning) status(st provision.Status) *provisioningpb.StatusResponse {
	var trouble []string
	if s.c.Trouble != nil {
		trouble = s.c.Trouble()
	}
	var backend, reason string
	if s.c.Keystore != nil {
		backend, reason = s.c.Keystore()
	}
	return &provisioningpb.StatusResponse{
		KeystoreReason:     reason,
		Unattested:         st.Unattested,
		Trouble:            trouble,
		State:              states[st.State],
		Provisioned:        st.Provisioned,
		MachineId:          st.MachineID,
		Code:               st.Code,
		CodeExpires:        timestamp(st.CodeExpires),
		ClaimUrl:           st.ClaimURL,
		Error:              st.Error,
		Hint:               st.Hint,
		CertificateExpires: timestamp(st.CertificateExpires),
		Keystore:           backend,
		Board:              s.c.Board,
		Version:            s.c.Version,
		KeyFingerprint:     st.KeyFingerprint,
		Step:               st.Step,
	}
}

// timestamp leaves a zero time unset.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// identity answers identity.IdentityService.
type identity struct {
	identitypb.UnimplementedIdentityServiceServer
	c Config
}

// errNoIdentity is NOT_FOUND to a caller.
var errNoIdentity = &gateway.Error{Kind: gateway.NotFound, Err: errors.New("the machine has no identity"),
	Advice: "press the button, or run mecha-agent code, and claim the code at the gateway"}

func (s *identity) GetMachineId(ctx context.Context, _ *identitypb.GetMachineIdRequest) (*identitypb.GetMachineIdResponse, error) {
	cert, _, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	return &identitypb.GetMachineIdResponse{MachineId: cert.Subject.CommonName}, nil
}

func (s *identity) GetProvisionStatus(ctx context.Context, _ *identitypb.GetProvisionStatusRequest) (*identitypb.GetProvisionStatusResponse, error) {
	_, _, err := s.load(ctx)
	if err != nil && !errors.Is(err, errNoIdentity) {
		return nil, err
	}
	return &identitypb.GetProvisionStatusResponse{Status: err == nil}, nil
}

func (s *identity) GetMachineCert(ctx context.Context, _ *identitypb.GetMachineCertRequest) (*identitypb.GetMachineCertResponse, error) {
	cert, pems, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Raw)
	return &identitypb.GetMachineCertResponse{
		CommonName:   cert.Subject.CommonName,
		Expiry:       cert.NotAfter.UTC().Format(time.RFC3339),
		Fingerprint:  hex.EncodeToString(sum[:]),
		PublicCert:   pems.Cert,
		CaBundle:     pems.Bundle,
		RootCert:     pems.Root,
		SerialNumber: cert.SerialNumber.String(),
	}, nil
}

func (s *identity) load(ctx context.Context) (*x509.Certificate, Certificates, error) {
	pems, err := s.c.Certificates(ctx)
	if err != nil {
		return nil, pems, err
	}
	if pems.Cert == "" {
		return nil, pems, errNoIdentity
	}
	block, _ := pem.Decode([]byte(pems.Cert))
	if block == nil {
		return nil, pems, errors.New("reading the machine certificate: no PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, pems, err
	}
	return cert, pems, nil
}
