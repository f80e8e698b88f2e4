package tpm

import "cmp"

// maker names the maker behind TPM_PT_MANUFACTURER: TCG TPM Vendor ID Registry,
// https://trustedcomputinggroup.org/resource/vendor-id-registry/. Who is not in
// it keeps the four letters.
func maker(id string) string {
	return cmp.Or(map[string]string{
		"AMD":  "AMD",
		"ATML": "Atmel",
		"BRCM": "Broadcom",
		"GOOG": "Google",
		"IBM":  "IBM", // its reference code, which swtpm runs
		"IFX":  "Infineon",
		"INTC": "Intel",
		"MSFT": "Microsoft",
		"NTC":  "Nuvoton",
		"NTZ":  "Nationz",
		"QCOM": "Qualcomm",
		"ROCC": "Rockchip",
		"SMSN": "Samsung",
		"STM":  "STMicroelectronics",
		"TXN":  "Texas Instruments",
		"WEC":  "Winbond",
	}[id], id)
}
