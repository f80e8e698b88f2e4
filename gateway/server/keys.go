package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mecha-org/mecha-agent/gateway"
	"github.com/mecha-org/mecha-agent/gateway/store"
)

// operator lets through who has an API key, and returns its id. A wrong one
// counts as a wrong code; a missing one does not, for it guesses nothing. The
// right one passes whatever others at its address have guessed.
func (s *Service) operator(ctx context.Context, c Caller) (string, error) {
	if c.KeyID == "" || c.KeySecret == "" {
		return "", fail(gateway.Unauthorized, "an API key is needed: %s and %s", gateway.HeaderAPIKeyID, gateway.HeaderAPIKeySecret)
	}
	key, err := s.store.APIKey(ctx, c.KeyID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("looking up the API key: %w", err)
	}
	if !matches(key.Secret, c.KeySecret) { // also when there is no such key: its hash is zero
		return "", s.limits.miss(byAddress(c.From), "", fail(gateway.Unauthorized, "the API key is wrong"))
	}
	return key.ID, nil
}

// CreateAPIKey makes an operator's key; the secret is told this once.
func (s *Service) CreateAPIKey(ctx context.Context, c Caller, name string) (string, gateway.Secret, error) {
	by, err := s.operator(ctx, c)
	if err != nil {
		return "", "", err
	}
	name = strings.TrimSpace(name)
	if n := len([]rune(name)); n < 1 || n > maxName {
		return "", "", fail(gateway.BadRequest, "name: want 1 to %d characters", maxName)
	}
	if err := checkText(name, 4*maxName); err != nil {
		return "", "", fail(gateway.BadRequest, "name: %w", err)
	}
	id, secret, err := s.newAPIKey(ctx, name, nil)
	if err != nil {
		return "", "", err
	}
	s.log.InfoContext(ctx, "API key made", "id", id, "name", name, "by", by)
	return id, secret, nil
}

func (s *Service) newAPIKey(ctx context.Context, name string, keep func(string, gateway.Secret) error) (string, gateway.Secret, error) {
	var b [8]byte
	rand.Read(b[:])
	id, secret := "key_"+hex.EncodeToString(b[:]), gateway.NewSecret()
	if keep != nil {
		if err := keep(id, secret); err != nil {
			return "", "", fmt.Errorf("writing the API key down: %w", err)
		}
	}
	err := s.store.AddAPIKey(ctx, store.APIKey{ID: id, Name: name, Secret: hash(secret), Created: s.now()})
	if err != nil {
		return "", "", fmt.Errorf("storing the API key: %w", err)
	}
	return id, secret, nil
}

func (s *Service) ensureAdminKey(ctx context.Context, keep func(string, gateway.Secret) error) (string, gateway.Secret, bool, error) {
	has, err := s.store.HasAPIKeys(ctx)
	if err != nil {
		return "", "", false, fmt.Errorf("looking for API keys: %w", err)
	}
	if has {
		return "", "", false, nil
	}
	id, secret, err := s.newAPIKey(ctx, "admin", keep)
	return id, secret, err == nil, err
}
