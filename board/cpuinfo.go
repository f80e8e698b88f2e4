package board

import (
	"bytes"
	"strconv"
	"strings"
)

// pair is one "key : value" line of /proc/cpuinfo.
type pair struct{ key, value string }

// cpuInfo takes from /proc/cpuinfo what 32-bit kernels, and those for the
// Raspberry Pi, write there below the processors: Model, Revision and Serial.
// Keys are compared with their case: "model" on x86 is a number.
func (s *source) cpuInfo(b *Board) {
	var model, revision, serial string
	for _, p := range parseCPUInfo(s.read("proc/cpuinfo", maxCPUInfo)) {
		switch p.key {
		case "Model":
			model = p.value
		case "Revision":
			revision = cleanSerial(p.value)
		case "Serial":
			serial = cleanSerial(p.value)
		}
	}
	fill(&b.Serial, serial)
	fill(&b.Revision, revision)
	if b.Model != "" {
		return
	}
	// No device tree: only a Raspberry Pi's kernel names itself here, or leaves
	// us its revision code. Its Hardware line says BCM2835 on every model.
	known, soc := piOf(revision)
	if model == "" {
		model = known
	}
	if strings.HasPrefix(model, "Raspberry Pi") {
		fill(&b.Vendor, vendors["raspberrypi"])
		fill(&b.SoC, soc)
	}
	b.Model = model
}

// parseCPUInfo reads "key\t: value" lines and skips others, among them those
// with an empty key.
func parseCPUInfo(data []byte) []pair {
	var list []pair
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		key, value, found := bytes.Cut(line, []byte{':'})
		if k := clean(string(key)); found && k != "" {
			list = append(list, pair{k, clean(string(value))})
		}
	}
	return list
}

// Fields of a new-style revision code of the Raspberry Pi, from
// https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#new-style-revision-codes
const (
	piNewStyle       = 1 << 23
	piRevision       = 0xf
	piModelShift     = 4
	piModelMask      = 0xff
	piProcessorShift = 12
	piProcessorMask  = 0xf
)

// piModels and piProcessors are the tables of the same document.
var (
	piModels = map[uint64]string{
		0x00: "Model A", 0x01: "Model B", 0x02: "Model A Plus", 0x03: "Model B Plus", 0x04: "2 Model B",
		0x06: "Compute Module", 0x08: "3 Model B", 0x09: "Zero",
		0x0a: "Compute Module 3", 0x0c: "Zero W", 0x0d: "3 Model B Plus",
		0x0e: "3 Model A Plus", 0x10: "Compute Module 3 Plus", 0x11: "4 Model B",
		0x12: "Zero 2 W", 0x13: "400", 0x14: "Compute Module 4",
		0x15: "Compute Module 4S", 0x17: "5 Model B", 0x18: "Compute Module 5",
		0x19: "500", 0x1a: "Compute Module 5 Lite",
	}
	piProcessors = []string{"bcm2835", "bcm2836", "bcm2837", "bcm2711", "bcm2712"}
)

// piOf decodes a revision code ("9000c1") as kernels before 4.19, which write no
// Model line, leave it. Both answers are empty for other boards and for the
// old-style codes of the boards before 2014.
func piOf(revision string) (model, soc string) {
	code, err := strconv.ParseUint(revision, 16, 32)
	if err != nil || code&piNewStyle == 0 {
		return "", ""
	}
	name, ok := piModels[code>>piModelShift&piModelMask]
	if !ok {
		return "", ""
	}
	if n := code >> piProcessorShift & piProcessorMask; n < uint64(len(piProcessors)) {
		soc = piProcessors[n]
	}
	return "Raspberry Pi " + name + " Rev 1." + strconv.FormatUint(code&piRevision, 10), soc
}
