package server

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/mecha-org/mecha-agent/gateway"
	pb "github.com/mecha-org/mecha-agent/proto/provisioning"
)

// Ping answers as the agent's own Ping does: code "success".
func (d *grpcDoor) Ping(ctx context.Context, _ *pb.PingRequest) (*pb.PingResponse, error) {
	if err := d.service.Ping(ctx); err != nil {
		return nil, err
	}
	return &pb.PingResponse{Code: "success"}, nil
}

// Announce translates Service.Announce.
func (d *grpcDoor) Announce(ctx context.Context, r *pb.AnnounceRequest) (*pb.AnnounceResponse, error) {
	now := d.now()
	s, err := d.service.Announce(ctx, d.caller(ctx), gateway.Announcement{
		Code: r.GetCode(), CSR: r.GetCsr(), Board: boardFrom(r.GetBoard()), TPM: identityFrom(r.GetAttestation()),
	})
	if err != nil {
		return nil, err
	}
	p := gateway.NewSessionPayload(s, now)
	return &pb.AnnounceResponse{
		DeviceCode:              p.DeviceCode,
		ExpiresIn:               p.ExpiresIn,
		Interval:                p.Interval,
		VerificationUri:         p.VerificationURI,
		VerificationUriComplete: p.VerificationURIComplete,
	}, nil
}

// FindManifest translates Service.FindManifest.
func (d *grpcDoor) FindManifest(ctx context.Context, r *pb.FindManifestRequest) (*pb.FindManifestResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	m, err := d.service.FindManifest(ctx, d.caller(ctx), r.GetCode(), bearer(first(md, "authorization")))
	if err != nil {
		return nil, err
	}
	return &pb.FindManifestResponse{
		MachineId: m.MachineID, CertSignUrl: m.CertSignURL, CertValidUpto: m.CertValidUpto, Token: m.Token.Reveal(),
		Attestation: challengeTo(m.Challenge),
	}, nil
}

// SignCertificate translates Service.Sign.
func (d *grpcDoor) SignCertificate(ctx context.Context, r *pb.SignCertificateRequest) (*pb.SignCertificateResponse, error) {
	i, err := d.service.Sign(ctx, d.caller(ctx), gateway.SignRequest{
		CSR: r.GetCsr(), MachineID: r.GetMachineId(),
		Type: gateway.RequestType(r.GetRequestType()), Token: gateway.Secret(r.GetToken()),
		Evidence: evidenceFrom(r.GetAttestation()),
	})
	if err != nil {
		return nil, err
	}
	return &pb.SignCertificateResponse{Cert: i.Cert, RootCert: i.RootCert, CaBundle: i.CABundle}, nil
}

// FindRequest translates Service.FindRequest.
func (d *grpcDoor) FindRequest(ctx context.Context, r *pb.FindRequestRequest) (*pb.FindRequestResponse, error) {
	p, err := d.service.FindRequest(ctx, d.caller(ctx), r.GetProvisionCode())
	if err != nil {
		return nil, err
	}
	return &pb.FindRequestResponse{
		Board: boardTo(p.Board), KeyFingerprint: p.KeyFingerprint, Expires: timestamp(p.Expires),
		Attestation: string(p.Attestation), Tpm: tpmTo(p.TPM),
	}, nil
}

// ClaimRequest translates Service.ClaimRequest.
func (d *grpcDoor) ClaimRequest(ctx context.Context, r *pb.ClaimRequestRequest) (*pb.ClaimRequestResponse, error) {
	c, err := d.service.ClaimRequest(ctx, d.caller(ctx), r.GetProvisionCode(), r.GetKeyFingerprint())
	if err != nil {
		return nil, err
	}
	return &pb.ClaimRequestResponse{RequestId: c.RequestID, MachineId: c.MachineID}, nil
}

// RequestStatus translates Service.RequestStatus.
func (d *grpcDoor) RequestStatus(ctx context.Context, r *pb.RequestStatusRequest) (*pb.RequestStatusResponse, error) {
	state, err := d.service.RequestStatus(ctx, d.caller(ctx), r.GetId())
	if err != nil {
		return nil, err
	}
	p := gateway.NewRequestStatusPayload(state)
	return &pb.RequestStatusResponse{StatusCode: string(p.StatusCode), Status: p.Status}, nil
}

// ListMachines translates Service.ListMachines.
func (d *grpcDoor) ListMachines(ctx context.Context, r *pb.ListMachinesRequest) (*pb.ListMachinesResponse, error) {
	list, err := d.service.ListMachines(ctx, d.caller(ctx), r.GetAfter(), int(r.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &pb.ListMachinesResponse{Machines: make([]*pb.Machine, 0, len(list))}
	for _, m := range list {
		answer.Machines = append(answer.Machines, &pb.Machine{
			MachineId:          m.ID,
			Board:              boardTo(m.Board),
			KeyFingerprint:     m.KeyFingerprint,
			Created:            timestamp(m.Created),
			CertificateExpires: timestamp(m.CertificateExpires),
			CertificateSerial:  m.CertificateSerial,
			Revoked:            timestamp(m.Revoked),
			Attestation:        string(m.Attestation),
			Tpm:                tpmTo(m.TPM),
		})
	}
	return answer, nil
}

// RevokeMachine translates Service.RevokeMachine.
func (d *grpcDoor) RevokeMachine(ctx context.Context, r *pb.RevokeMachineRequest) (*pb.RevokeMachineResponse, error) {
	at, err := d.service.RevokeMachine(ctx, d.caller(ctx), r.GetMachineId())
	if err != nil {
		return nil, err
	}
	return &pb.RevokeMachineResponse{Revoked: timestamp(at)}, nil
}

// CreateApiKey translates Service.CreateAPIKey.
func (d *grpcDoor) CreateApiKey(ctx context.Context, r *pb.CreateApiKeyRequest) (*pb.CreateApiKeyResponse, error) { //nolint:revive // the contract's spelling
	id, secret, err := d.service.CreateAPIKey(ctx, d.caller(ctx), r.GetName())
	if err != nil {
		return nil, err
	}
	return &pb.CreateApiKeyResponse{Id: id, Secret: secret.Reveal()}, nil
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func boardFrom(b *pb.Board) gateway.Board {
	return gateway.Board{
		Vendor: b.GetVendor(), Model: b.GetModel(), Serial: b.GetSerial(),
		SoC: b.GetSoc(), Revision: b.GetRevision(), Architecture: b.GetArchitecture(),
	}
}

func boardTo(b gateway.Board) *pb.Board {
	return &pb.Board{
		Vendor: b.Vendor, Model: b.Model, Serial: b.Serial,
		Soc: b.SoC, Revision: b.Revision, Architecture: b.Architecture,
	}
}

func identityFrom(i *pb.TPMIdentity) *gateway.TPMIdentity {
	if i == nil {
		return nil
	}
	return &gateway.TPMIdentity{EKCertificates: i.GetEkCertificates(), EKPublic: i.GetEkPublic(), AKPublic: i.GetAkPublic()}
}

func challengeTo(c *gateway.Challenge) *pb.Challenge {
	if c == nil {
		return nil
	}
	return &pb.Challenge{Nonce: c.Nonce, Credential: c.Credential, Secret: c.Secret}
}

func evidenceFrom(e *pb.Evidence) *gateway.Evidence {
	if e == nil {
		return nil
	}
	return &gateway.Evidence{KeyPublic: e.GetKeyPublic(), Attest: e.GetAttest(), Signature: e.GetSignature(), Activated: e.GetActivated()}
}

func tpmTo(t gateway.TPM) *pb.TPM {
	if t == (gateway.TPM{}) {
		return nil
	}
	return &pb.TPM{EkFingerprint: t.EKFingerprint, EkSerial: t.EKSerial, Maker: t.Maker, Reason: t.Reason}
}
