package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/store"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
)

// BenchmarkAddRequest counts durable commits.
func BenchmarkAddRequest(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "gateway.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			code := fmt.Sprint(n.Add(1))
			r := store.Request{Code: code, KeyFingerprint: code, Created: start, Expires: start.Add(time.Hour)}
			if _, err := s.AddRequest(b.Context(), r); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkOpen opens a store with 5,000 requests, each page of it checked.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "gateway.db")
	s, err := sqlite.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 5_000 {
		code := fmt.Sprint(i)
		if _, err := s.AddRequest(b.Context(), store.Request{Code: code, KeyFingerprint: code, Created: start, Expires: start.Add(time.Hour)}); err != nil {
			b.Fatal(err)
		}
	}
	s.Close()
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
