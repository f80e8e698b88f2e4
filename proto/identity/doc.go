// Package identitypb is the contract in Go: the agent's IdentityService,
// generated from identity.proto beside it by `make generate`.
package identitypb
