package board

import "strconv"

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

// piRev1 is what the first revision of the Model B is called in tables of headers.
// Kernels of the Raspberry Pi call both revisions raspberrypi,model-b.
const piRev1 = "raspberrypi,model-b-rev1"

// piModel is a model as people and as device trees call it.
type piModel struct{ name, compatible string }

// piModels and piProcessors are the tables of the same document. The compatible
// strings are those of the device trees of Linux and of the Raspberry Pi's firmware.
var (
	piModels = map[uint64]piModel{
		0x00: {"Model A", "raspberrypi,model-a"},
		0x01: {"Model B", "raspberrypi,model-b-rev2"},
		0x02: {"Model A Plus", "raspberrypi,model-a-plus"},
		0x03: {"Model B Plus", "raspberrypi,model-b-plus"},
		0x04: {"2 Model B", "raspberrypi,2-model-b"},
		0x06: {"Compute Module", "raspberrypi,compute-module"},
		0x08: {"3 Model B", "raspberrypi,3-model-b"},
		0x09: {"Zero", "raspberrypi,model-zero"},
		0x0a: {"Compute Module 3", "raspberrypi,3-compute-module"},
		0x0c: {"Zero W", "raspberrypi,model-zero-w"},
		0x0d: {"3 Model B Plus", "raspberrypi,3-model-b-plus"},
		0x0e: {"3 Model A Plus", "raspberrypi,3-model-a-plus"},
		0x10: {"Compute Module 3 Plus", "raspberrypi,3-compute-module"},
		0x11: {"4 Model B", "raspberrypi,4-model-b"},
		0x12: {"Zero 2 W", "raspberrypi,model-zero-2-w"},
		0x13: {"400", "raspberrypi,400"},
		0x14: {"Compute Module 4", "raspberrypi,4-compute-module"},
		0x15: {"Compute Module 4S", "raspberrypi,4-compute-module-s"},
		0x17: {"5 Model B", "raspberrypi,5-model-b"},
		0x18: {"Compute Module 5", "raspberrypi,5-compute-module"},
		0x19: {"500", "raspberrypi,500"},
		0x1a: {"Compute Module 5 Lite", "raspberrypi,5-compute-module"},
	}
	piProcessors = []string{"bcm2835", "bcm2836", "bcm2837", "bcm2711", "bcm2712"}
)

// piOld has the old-style codes, of the boards before 2014, from
// https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#old-style-revision-codes
var piOld = map[uint64]struct {
	piModel
	revision string
}{
	0x02: {piModel{"Model B", piRev1}, "1.0"},
	0x03: {piModel{"Model B", piRev1}, "1.0"},
	0x04: {piModels[0x01], "2.0"},
	0x05: {piModels[0x01], "2.0"},
	0x06: {piModels[0x01], "2.0"},
	0x07: {piModels[0x00], "2.0"},
	0x08: {piModels[0x00], "2.0"},
	0x09: {piModels[0x00], "2.0"},
	0x0d: {piModels[0x01], "2.0"},
	0x0e: {piModels[0x01], "2.0"},
	0x0f: {piModels[0x01], "2.0"},
	0x10: {piModels[0x03], "1.2"},
	0x11: {piModels[0x06], "1.0"},
	0x12: {piModels[0x02], "1.1"},
	0x13: {piModels[0x03], "1.2"},
	0x14: {piModels[0x06], "1.0"},
	0x15: {piModels[0x02], "1.1"},
}

// pi is what a revision code tells.
type pi struct {
	model      string   // "Raspberry Pi Zero W Rev 1.1"
	compatible []string // as its device tree would have it; nil when the processor is not known
}

// piOf decodes a revision code ("9000c1") as kernels before 4.19, which write no
// Model line, leave it. It is zero for other boards.
func piOf(revision string) pi {
	code, err := strconv.ParseUint(revision, 16, 32)
	if err != nil {
		return pi{}
	}
	if code&piNewStyle == 0 {
		// A one in front says that the warranty is void, by too high a voltage.
		old, ok := piOld[code&^(1<<24)]
		if !ok {
			return pi{}
		}
		return pi{"Raspberry Pi " + old.name + " Rev " + old.revision, []string{old.compatible, "brcm," + piProcessors[0]}}
	}
	m, ok := piModels[code>>piModelShift&piModelMask]
	if !ok {
		return pi{}
	}
	p := pi{model: "Raspberry Pi " + m.name + " Rev 1." + strconv.FormatUint(code&piRevision, 10)}
	if n := code >> piProcessorShift & piProcessorMask; n < uint64(len(piProcessors)) {
		p.compatible = []string{m.compatible, "brcm," + piProcessors[n]}
	}
	return p
}
