package sqlite_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/gateway/store"
	"github.com/mecha-org/mecha-agent/gateway/store/sqlite"
	"github.com/mecha-org/mecha-agent/internal/rerun"
)

// childVariable makes the test binary write into the store it names until it is
// killed.
const childVariable = "SQLITE_TEST_CHILD"

var start = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		fmt.Fprintln(os.Stderr, writeForever(context.Background(), path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever takes one device after the other through the exchange, and says
// on standard output what the store has acknowledged.
func writeForever(ctx context.Context, path string) error {
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		token := sha256.Sum256([]byte(name))
		until := start.Add(time.Hour)
		id, err := s.AddRequest(ctx, store.Request{Code: name, KeyFingerprint: "key " + name, Created: start, Expires: until})
		if err != nil {
			return err
		}
		fmt.Println("added", id, name)
		if _, err := s.Claim(ctx, name, "", "m"+name, "op", start, until); err != nil {
			return err
		}
		fmt.Println("claimed", id, name)
		if err := s.SetToken(ctx, id, store.Token{Hash: token, Expires: until}, start); err != nil {
			return err
		}
		if _, err := s.UseToken(ctx, token, start); err != nil {
			return err
		}
		fmt.Println("used", id, name)
		c := store.Certificate{Serial: name, MachineID: "m" + name, KeyFingerprint: "key " + name, NotAfter: until}
		if err := s.AddCertificate(ctx, id, c); err != nil {
			return err
		}
		fmt.Println("certified", id, name)
		if _, err := s.Revoke(ctx, "m"+name, start); err != nil {
			return err
		}
		fmt.Println("revoked", id, name)
	}
}

// TestKilled kills a process in the middle of its writes: every write that it
// saw acknowledged is there, whole, and the file is sound.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	var acknowledged []string
	for _, after := range []int{1, 2, 3, 4, 5, 40, 41, 42, 43, 301} {
		acknowledged = append(acknowledged, killAfter(t, path, after)...)
	}
	s := openAt(t, path)
	for _, line := range acknowledged {
		var step, name string
		var id int64
		if _, err := fmt.Sscan(line, &step, &id, &name); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		check(t, s, step, id, name)
	}
}

// killAfter returns all lines of a child that is killed after it wrote n of
// them, those included that it wrote before the signal arrived.
func killAfter(t *testing.T, path string, n int) (lines []string) {
	t.Helper()
	child := rerun.Command(t.Context())
	child.Env = append(os.Environ(), childVariable+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines = append(lines, in.Text()); len(lines) == n {
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended by itself: %v", err)
	}
	if len(lines) < n {
		t.Fatalf("the child wrote %d lines, want %d", len(lines), n)
	}
	return lines
}

func check(t *testing.T, s *sqlite.Store, step string, id int64, name string) {
	t.Helper()
	r, err := s.RequestByID(t.Context(), id)
	if err != nil || r.Code != name {
		t.Fatalf("%s %d: request %q, error %v", step, id, r.Code, err)
	}
	c, err := s.Certificate(t.Context(), name)
	ok := true
	switch step {
	case "claimed":
		ok = r.MachineID == "m"+name
	case "used":
		ok = !r.TokenUsed.IsZero()
	case "certified":
		ok = err == nil && r.CertificateSerial == name
	case "revoked":
		ok = err == nil && !c.Revoked.IsZero()
	}
	if !ok {
		t.Errorf("%s %d was acknowledged and is lost: %+v, %+v", step, id, r, c)
	}
}

// TestTwoHandles opens the same file twice, as a gateway and the operator's
// tool beside it do: what one wrote the other sees, and one of both wins.
func TestTwoHandles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway.db")
	handles := []*sqlite.Store{openAt(t, path), openAt(t, path)}
	until := start.Add(time.Hour)
	for i := range 20 {
		code := fmt.Sprint("CODE", i)
		a, b := handles[i%2], handles[1-i%2]
		if _, err := a.AddRequest(t.Context(), store.Request{Code: code, KeyFingerprint: code, Created: start, Expires: until}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RequestByCode(t.Context(), code, start); err != nil {
			t.Fatalf("the other handle: %v", err)
		}
		errs := make(chan error)
		for j := range 8 {
			go func() {
				_, err := handles[j%2].Claim(t.Context(), code, "", fmt.Sprint("m", i, "-", j), "op", start, until)
				errs <- err
			}()
		}
		wins := 0
		for range 8 {
			if err := <-errs; err == nil {
				wins++
			}
		}
		if wins != 1 {
			t.Fatalf("code %d was claimed %d times", i, wins)
		}
	}
	// Closing one leaves the other at work.
	if err := handles[0].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := handles[1].Revoke(t.Context(), "no such", start); err == nil {
		t.Fatal("revoked a machine that is none")
	}
	if ms, err := handles[1].Machines(t.Context(), "", 100); err != nil || len(ms) != 20 {
		t.Fatalf("%d machines, error %v", len(ms), err)
	}
}
