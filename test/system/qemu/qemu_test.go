package qemu_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mecha-org/mecha-agent/test/system/qemu"
)

// serve answers one connection to a Unix socket: a line of script for each line
// that comes, the first without one when greet is set. It returns the socket and,
// when the connection is closed, what came.
func serve(t *testing.T, greeting string, script ...string) (socket string, heard func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "qemu") // short enough for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lines := make(chan []string, 1)
	go func() {
		var got []string
		defer func() { lines <- got }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(greeting))
		in := bufio.NewScanner(conn)
		for i := 0; in.Scan(); i++ {
			got = append(got, in.Text())
			if i == len(script) {
				return
			}
			_, _ = conn.Write([]byte(script[i] + "\n"))
		}
	}()
	return socket, func() []string { return <-lines }
}

const greeting = `{"QMP": {"version": {}, "capabilities": []}}` + "\n"

func dialQMP(t *testing.T, script ...string) (*qemu.QMP, *bytes.Buffer, func() []string) {
	t.Helper()
	socket, heard := serve(t, greeting, append([]string{`{"return": {}}`}, script...)...)
	var log bytes.Buffer
	q, err := qemu.DialQMP(t.Context(), socket, &log)
	if err != nil {
		t.Fatal(err)
	}
	return q, &log, func() []string { q.Close(); return heard()[1:] }
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		n            int
		want         []uint32
		err          string
	}{
		{"two lines", "000000003f200034: 0x00000001 0x80000000 0xffffffff 0x00000003\r\n000000003f200044: 0x00020000\r\n", 5,
			[]uint32{1, 0x80000000, 0xffffffff, 3, 0x20000}, ""},
		{"too few", "000000003f200034: 0x00000001\r\n", 2, nil, "1 words of 2"},
		{"no memory", "Cannot access memory\r\n", 1, nil, "Cannot access memory"},
		{"no number", "3f200034: 0x1g\r\n", 1, nil, "invalid syntax"},
	} {
		answer, _ := json.Marshal(map[string]string{"return": c.answer})
		q, _, heard := dialQMP(t, string(answer))
		got, err := q.Words(0x3f200034, c.n)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %#x, %v", c.name, got, err)
		}
		if asked := heard()[0]; !strings.Contains(asked, "wx 0x3f200034") {
			t.Errorf("%s: asked %s", c.name, asked)
		}
	}
}

// TestEvents has events before an answer: they are not it, and are in the log.
func TestEvents(t *testing.T) {
	q, log, heard := dialQMP(t, `{"event": "RESUME"}`+"\n"+`{"event": "RTC_CHANGE"}`+"\n"+`{"return": {"running": true}}`)
	var got struct{ Running bool }
	if err := q.Execute("query-status", nil, &got); err != nil || !got.Running {
		t.Errorf("%+v, %v", got, err)
	}
	if asked := heard(); !slices.Equal(asked, []string{`{"execute":"query-status"}`}) {
		t.Errorf("asked %q", asked)
	}
	for _, want := range []string{"qmp_capabilities", "query-status", "RTC_CHANGE", "running"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log", want)
		}
	}
}

func TestExecuteFails(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"refused":   {`{"error": {"class": "GenericError", "desc": "no such device"}}`, "QMP eject: no such device"},
		"nothing":   {`{}`, "no answer"},
		"no object": {`7`, "cannot unmarshal"},
	} {
		q, _, heard := dialQMP(t, c.answer)
		if err := q.Execute("eject", nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		heard()
	}
	q, _, _ := dialQMP(t) // hangs up at the first question
	if err := q.Execute("eject", nil, nil); err == nil {
		t.Error("no error from a monitor that hung up")
	}
}

func TestDialFails(t *testing.T) {
	for name, greeting := range map[string]string{"not QMP": "{}\n", "hangs up": "", "not JSON": "hello\n"} {
		socket, _ := serve(t, greeting)
		if greeting == "" {
			conn, err := net.Dial("unix", socket) // takes the only turn
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			os.Remove(socket)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := qemu.DialQMP(ctx, socket, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
		if greeting == "" {
			if _, err := qemu.DialQTest(ctx, socket, nil); err == nil {
				t.Errorf("%s: no error from qtest", name)
			}
		}
		cancel()
	}
}

func TestFind(t *testing.T) {
	q, _, heard := dialQMP(t, `{"return": [{"name": "device[3]", "type": "child<pl011>"}, {"name": "device[7]", "type": "child<pl061>"}, {"name": "type", "type": "string"}]}`)
	got, err := q.Find("/machine/unattached", "pl061")
	if err != nil || !slices.Equal(got, []string{"/machine/unattached/device[7]"}) {
		t.Errorf("%q, %v", got, err)
	}
	heard()
}

func TestScreenshot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.png")
	picture := image.NewGray(image.Rect(0, 0, 3, 2))
	picture.SetGray(2, 1, color.Gray{0xff})
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, encoded.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	q, _, heard := dialQMP(t, `{"return": {}}`, `{"return": {}}`)
	got, err := q.Screenshot("oled", file)
	if err != nil || got.Bounds() != picture.Bounds() {
		t.Fatal(got, err)
	}
	if r, _, _, _ := got.At(2, 1).RGBA(); r != 0xffff {
		t.Error("the picture is not the one in the file")
	}
	if err := os.WriteFile(file, []byte("P6"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Screenshot("oled", file); err == nil {
		t.Error("no error for a file that is no picture")
	}
	if asked := heard()[0]; !strings.Contains(asked, `"device":"oled"`) || !strings.Contains(asked, file) {
		t.Errorf("asked %s", asked)
	}
}

func TestQTest(t *testing.T) {
	socket, heard := serve(t, "", "OK", "IRQ raise 3\nOK", "FAIL Unknown device")
	q, err := qemu.DialQTest(t.Context(), socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Set("/machine/soc/gpio1", "unnamed-gpio-in", 10, true); err != nil {
		t.Error(err)
	}
	if err := q.Set("/machine/soc/gpio1", "unnamed-gpio-in", 10, false); err != nil {
		t.Error(err)
	}
	if err := q.Set("/machine/none", "unnamed-gpio-in", 1, false); err == nil || !strings.Contains(err.Error(), "Unknown device") {
		t.Error("refused: ", err)
	}
	q.Close()
	want := []string{"set_irq_in /machine/soc/gpio1 unnamed-gpio-in 10 1", "set_irq_in /machine/soc/gpio1 unnamed-gpio-in 10 0",
		"set_irq_in /machine/none unnamed-gpio-in 1 0"}
	if got := heard(); !slices.Equal(got, want) {
		t.Errorf("QEMU was told %q", got)
	}
}
