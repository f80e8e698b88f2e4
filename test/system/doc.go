// Package system boots emulated ARM boards with the agent as it is built and
// installed, and looks at their panels from outside: pictures of the display,
// registers of the GPIO controllers. It presses their buttons, claims their codes
// at a real gateway, and looks at what the machine then holds.
//
// The boards are QEMU's models with Debian's kernels and device trees; nothing of
// what stands between the agent and a test was written by this project. Where QEMU has
// no model of a board's TPM, /init carries its commands to one on the host, as they
// are.
//
//	go test -tags system,grpcnotrace -timeout 30m ./test/system
//
// It needs QEMU and swtpm (scripts/deps.sh) and fetches the kernels (scripts/kernels.sh).
// Without them it skips on a laptop, and fails where CI is set. The logs of a
// board that failed are in test/system/out.
package system
