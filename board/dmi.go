package board

import (
	"path"
	"strings"
)

// soc reads what SoC drivers publish where firmware gives no serial number in
// the device tree: that of the i.MX8M is fused into the chip
// (Documentation/ABI/testing/sysfs-devices-soc).
func (s *source) soc(b *Board) {
	fill(&b.Serial, cleanSerial(string(s.read("sys/devices/soc0/serial_number", maxProperty))))
}

// dmi reads the SMBIOS tables as Linux shows them
// (Documentation/ABI/testing/sysfs-firmware-dmi-tables): the system, then its
// board where the system's fields were left as the firmware's maker had them.
func (s *source) dmi(b *Board) {
	read := func(field string) string {
		return dmiText(string(s.read(path.Join("sys/class/dmi/id", field), maxProperty)))
	}
	vendor, model := read("sys_vendor"), read("product_name")
	if vendor == "" || model == "" {
		fill(&vendor, read("board_vendor"))
		fill(&model, read("board_name"))
	}
	if b.Model == "" && model != "" {
		b.Vendor = "" // never the vendor of one source with the model of another
		b.Model = model
	}
	fill(&b.Vendor, vendor)
	// Only root may read it.
	fill(&b.Serial, cleanSerial(read("product_serial")))
}

// dmiText cleans a DMI field and drops what firmware holds until somebody fills
// it in.
func dmiText(s string) string {
	s = clean(s)
	if placeholders[strings.ToLower(strings.TrimRight(s, "."))] {
		return ""
	}
	return s
}

// placeholders in lower case and without full stops at the end, as seen in the
// field.
var placeholders = map[string]bool{
	"0123456789":               true,
	"123456789":                true,
	"1234567890":               true,
	"base board serial number": true,
	"chassis serial number":    true,
	"default string":           true,
	"empty":                    true,
	"fill by oem":              true,
	"invalid":                  true,
	"n/a":                      true,
	"no enclosure":             true,
	"none":                     true,
	"not applicable":           true,
	"not available":            true,
	"not specified":            true,
	"null":                     true,
	"o.e.m":                    true,
	"oem":                      true,
	"product name":             true,
	"serial number":            true,
	"system manufacturer":      true,
	"system product name":      true,
	"system serial number":     true,
	"system version":           true,
	"to be filled by o.e.m":    true,
	"to be filled by oem":      true,
	"type1productconfigid":     true,
	"undefined":                true,
	"unknown":                  true,
	"unknown product":          true,
}
