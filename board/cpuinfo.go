package board

import (
	"bytes"
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

	pi := piOf(b.Revision)
	if b.Model == "" {
		// No device tree, as in a container that /sys/firmware is hidden from: only
		// a Raspberry Pi's kernel names itself here, or leaves us its revision code.
		// Its Hardware line says BCM2835 on every model.
		b.Model = model
		fill(&b.Model, pi.model)
		if len(b.Compatible) == 0 && strings.HasPrefix(b.Model, "Raspberry Pi") {
			b.Compatible = pi.compatible
			fill(&b.Vendor, vendors["raspberrypi"])
		}
	}
	// Only the revision code tells the header of the first Model B from that of the
	// second: the firmware's device tree calls both raspberrypi,model-b.
	if len(b.Compatible) > 0 && b.Compatible[0] == "raspberrypi,model-b" && len(pi.compatible) > 0 && pi.compatible[0] == piRev1 {
		b.Compatible = append([]string{piRev1}, b.Compatible...)
	}
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
