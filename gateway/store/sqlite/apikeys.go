package sqlite

import (
	"context"
	"fmt"

	"github.com/mecha-org/mecha-agent/gateway/store"
)

// AddAPIKey implements store.Store.
func (s *Store) AddAPIKey(ctx context.Context, k store.APIKey) error {
	return s.write(ctx, "storing an API key", func(t tx) error {
		_, err := t.exec(qAddAPIKey, k.ID, k.Name, k.Secret[:], micros(k.Created))
		return err
	})
}

// APIKey implements store.Store.
func (s *Store) APIKey(ctx context.Context, id string) (store.APIKey, error) {
	var k store.APIKey
	err := s.reads[qAPIKey].QueryRowContext(ctx, id).Scan(&k.ID, &k.Name, (*hash)(&k.Secret), (*moment)(&k.Created))
	if err != nil {
		return store.APIKey{}, fmt.Errorf("looking an API key up: %w", explain(ctx, notFound(err)))
	}
	return k, nil
}

// HasAPIKeys implements store.Store.
func (s *Store) HasAPIKeys(ctx context.Context) (bool, error) {
	var has bool
	if err := s.reads[qHasAPIKeys].QueryRowContext(ctx).Scan(&has); err != nil {
		return false, fmt.Errorf("looking for API keys: %w", explain(ctx, err))
	}
	return has, nil
}
