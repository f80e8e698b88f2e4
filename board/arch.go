package board

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Architecture returns what this binary was built for: GOARCH, and for 32-bit
// ARM the variant behind a slash, as container images write it ("arm/v6"). That
// is what updates must match. It is not what the processor could run: an ARMv6
// binary on an ARMv8 processor says "arm/v6". Without build information (a
// stripped-down build) the variant is left out.
func Architecture() string {
	info, _ := debug.ReadBuildInfo()
	return architecture(runtime.GOARCH, info)
}

func architecture(goarch string, info *debug.BuildInfo) string {
	if goarch != "arm" || info == nil {
		return goarch
	}
	for _, s := range info.Settings {
		if s.Key != "GOARM" {
			continue
		}
		// "6" or "7,softfloat", see `go help environment`.
		if version, _, _ := strings.Cut(s.Value, ","); version != "" {
			return goarch + "/v" + version
		}
	}
	return goarch
}
