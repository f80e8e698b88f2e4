package guest_test

import (
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/mecha-org/mecha-agent/test/system/guest"
)

func TestAsk(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	do := func(r guest.Request) guest.Response {
		if r.Read == "/none" {
			return guest.Response{Error: "no such file", Uptime: 3}
		}
		return guest.Response{Code: 7, Stdout: strings.Join(r.Exec, " "), Data: r.Data, Files: []guest.File{{Path: r.Find, Mode: "-rw-------", Size: 9}}}
	}
	served := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served <- guest.Serve(conn, do)
		}
	}()
	ask := func(r guest.Request) (guest.Response, error) { return guest.Ask(t.Context(), l.Addr().String(), r) }

	got, err := ask(guest.Request{Exec: []string{"a", "b"}, Find: "/root", Data: []byte{0, 0xff}})
	want := guest.Response{Code: 7, Stdout: "a b", Data: []byte{0, 0xff}, Files: []guest.File{{Path: "/root", Mode: "-rw-------", Size: 9}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if got, err := ask(guest.Request{Read: "/none"}); err == nil || err.Error() != "the guest says: no such file" || got.Uptime != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	<-served

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // without a word
	if err := <-served; err == nil {
		t.Error("a request of nothing was served")
	}
	l.Close()
	if _, err := ask(guest.Request{Read: "/etc/hostname"}); err == nil {
		t.Error("an answer from nobody")
	}
}
