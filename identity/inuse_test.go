package identity

import "testing"

// TestInUse: who asks whether the store is open hinders nobody from opening it.
func TestInUse(t *testing.T) {
	b := newBench(t, newPKI(t))
	want := func(when string, want bool) {
		t.Helper()
		if got := InUse(b.paths.State); got != want {
			t.Errorf("%s: in use %t, want %t", when, got, want)
		}
	}
	want("no folder", false)
	s := b.open(t, nil)
	want("open", true)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	want("closed", false)

	end, asked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(asked)
		for {
			select {
			case <-end:
				return
			default:
				InUse(b.paths.State)
			}
		}
	}()
	for range 200 {
		b.open(t, nil).Close()
	}
	close(end)
	<-asked
}
