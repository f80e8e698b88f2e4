package board_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mecha-org/mecha-agent/board"
	"github.com/mecha-org/mecha-agent/board/boardtest"
)

var update = flag.Bool("update", false, "write testdata/boards anew: records of device trees, and what Detect finds in every record")

// samplesDir has records of machines (boardtest.Record), NAME.txt, and what Detect is
// to find there, NAME.json. Those of the table samples come from device trees of
// Debian's kernels; run-NAME.txt are of machines that ran; the others are written by
// hand.
const samplesDir = "testdata/boards"

// maxSamples is how large the folder may grow, in bytes.
const maxSamples = 600 << 10

// TestSamples holds Detect against records of machines, of which the device trees are
// only the larger part. Unlike TestEveryDeviceTree it needs nothing that is not here.
func TestSamples(t *testing.T) {
	if *update {
		recordSamples(t)
	}
	records, err := filepath.Glob(filepath.Join(samplesDir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range records {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		seen[name] = true
		t.Run(name, func(t *testing.T) { checkSample(t, strings.TrimSuffix(file, ".txt")) })
	}
	for _, s := range samples {
		if !seen[s.name] {
			t.Errorf("no record of %s: go test ./board -run TestSamples -update makes it", s.name)
		}
	}
	checkFolder(t, seen)
}

// checkSample compares what Detect finds in a record with the golden file beside it.
func checkSample(t *testing.T, stem string) {
	text, err := os.ReadFile(stem + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	root, err := boardtest.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := board.Detect(root)
	if err != nil {
		t.Fatal(err)
	}
	got := golden(t, b)
	if *update {
		if err := os.WriteFile(stem+".json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(stem + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if b.Vendor == "" || b.Model == "" {
		t.Errorf("vendor %q, model %q", b.Vendor, b.Model)
	}
	if len(b.Compatible) > 0 && b.SoC == "" {
		t.Error("no SoC")
	}
	if b.Header != nil {
		checkHeader(t, stem, b)
	}
	checkRecord(t, stem, root, b)
}

// checkRecord records the machine and wants the same board again.
func checkRecord(t *testing.T, name string, root fs.FS, b board.Board) {
	t.Helper()
	text, err := boardtest.Record(root)
	if err != nil {
		t.Fatal(err)
	}
	replay, err := boardtest.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := board.Detect(replay)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, b) {
		t.Errorf("%s: the record is of\n%s\nnot of\n%s", name, golden(t, again), golden(t, b))
	}
}

// FuzzDetect gives Detect machines that nobody made. What it says of them is fit to
// print.
func FuzzDetect(f *testing.F) {
	for _, name := range []string{"run-raspi3b", "run-virt", "hand-raspberrypi-5", "hand-x86-laptop", "stm32mp157c-dk2"} {
		text, err := os.ReadFile(filepath.Join(samplesDir, name+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := boardtest.Parse(text)
		if err != nil {
			return
		}
		b, err := board.Detect(root)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{b.Name, b.Vendor, b.Model, b.SoC, b.Revision, b.Serial, b.MAC, b.TPM, b.String()}
		for _, c := range b.Chips {
			texts = append(texts, c.Label)
		}
		for _, k := range b.Keys {
			texts = append(texts, k.Name)
		}
		for _, l := range b.Onboard {
			texts = append(texts, l.Trigger)
		}
		for _, s := range texts {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("unfit to print: %q", s)
			}
		}
		_ = b.Pinout(board.Wiring{Button: board.ButtonWiring{Line: "pin 11"}})
		record, err := boardtest.Record(root)
		if err != nil {
			return // a machine whose links lead nowhere
		}
		if _, err := boardtest.Parse(string(record)); err != nil {
			t.Errorf("the record cannot be read: %v", err)
		}
	})
}

// golden writes a board with a line for every field, and for everything in a list.
// The architecture is left out: it is that of the test's binary.
func golden(t *testing.T, b board.Board) []byte {
	t.Helper()
	d := b.Describe()
	d.Architecture = ""
	var out bytes.Buffer
	v := reflect.ValueOf(d)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fmt.Fprintf(&out, "%s\n  %q: ", cmp.Or(map[bool]string{i == 0: "{"}[true], ","), name)
		field := v.Field(i)
		if field.Kind() != reflect.Slice || field.Len() == 0 {
			out.Write(marshal(t, field))
			continue
		}
		for j := range field.Len() {
			fmt.Fprintf(&out, "%s\n    %s", cmp.Or(map[bool]string{j == 0: "["}[true], ","), marshal(t, field.Index(j)))
		}
		out.WriteString("]")
	}
	out.WriteString("\n}\n")
	if !json.Valid(out.Bytes()) {
		t.Fatalf("no JSON:\n%s", out.Bytes())
	}
	return out.Bytes()
}

func marshal(t *testing.T, v reflect.Value) []byte {
	t.Helper()
	data, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkFolder wants golden files of records only, and not too many of them.
func checkFolder(t *testing.T, seen map[string]bool) {
	t.Helper()
	entries, err := os.ReadDir(samplesDir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
		if stem, ok := strings.CutSuffix(e.Name(), ".json"); ok && !seen[stem] {
			t.Errorf("%s has no record", e.Name())
		}
	}
	if size > maxSamples {
		t.Errorf("%s has %d kB, more than %d", samplesDir, size>>10, maxSamples>>10)
	}
}

// recordSamples writes the records of the table.
func recordSamples(t *testing.T) {
	dir := lab(t)
	for _, s := range samples {
		flavour, file, _ := strings.Cut(s.tree, "/")
		data, err := os.ReadFile(filepath.Join(dir, flavour, "boot", "dtbs", file))
		if err != nil {
			t.Fatal(err)
		}
		root, err := boardtest.FromDTB(data)
		if err != nil {
			t.Fatalf("%s: %v", s.tree, err)
		}
		text, err := boardtest.Record(root)
		if err != nil {
			t.Fatalf("%s: %v", s.tree, err)
		}
		text = append([]byte("# "+file+" of Debian's linux-image-"+flavour+"\n"), text...)
		if err := os.WriteFile(filepath.Join(samplesDir, s.name+".txt"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
