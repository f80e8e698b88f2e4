// Package provisioningpb is the contract in Go: the agent's
// ProvisioningService and the gateway's GatewayService, generated from the
// .proto files beside it by `make generate`.
package provisioningpb
