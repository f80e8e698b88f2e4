package board

import (
	"path"
	"strconv"
	"strings"
)

// Types of network interface (linux/if_arp.h), and how it got its address
// (Documentation/ABI/testing/sysfs-class-net).
const (
	arphrdEther = "1"
	netRandom   = "1" // made up by the kernel, another one after the next boot
)

// mac returns the address of the first wired network interface, by the order in
// which they came. Interfaces without hardware, radio, and the USB port that plays
// a network card have none that could name the board. Before drivers are loaded the
// device tree may have what the firmware put there.
func (s *source) mac(t *deviceTree) string {
	best, first := "", 0
	for _, name := range s.folder("sys/class/net") {
		dir := path.Join("sys/class/net", name)
		index, err := strconv.Atoi(s.line(path.Join(dir, "ifindex")))
		if err != nil || best != "" && index >= first {
			continue
		}
		switch {
		case !s.exists(path.Join(dir, "device")),
			s.exists(path.Join(dir, "wireless")), s.exists(path.Join(dir, "phy80211")),
			s.line(path.Join(dir, "type")) != arphrdEther,
			s.line(path.Join(dir, "addr_assign_type")) == netRandom,
			otherThanWired[s.uevent(dir)["DEVTYPE"]]:
			continue
		}
		if address := hardwareAddress(s.line(path.Join(dir, "address"))); address != "" {
			best, first = address, index
		}
	}
	if best != "" {
		return best
	}
	return t.mac()
}

// mac returns the address of a network interface that the device tree has: of
// ethernet0, and where no alias says which that is, of the first.
func (t *deviceTree) mac() string {
	best := ""
	for _, n := range t.nodes {
		first := t.alias[n.path] == "ethernet0"
		if n.off || !first && (best != "" || n.base() != "ethernet") {
			continue
		}
		// As Linux reads it (of_get_mac_address in net/core/of_net.c).
		for _, property := range []string{"mac-address", "local-mac-address"} {
			data := t.bytes(n.path, property)
			if !n.has(property) || len(data) != 6 {
				continue
			}
			if address := formatAddress([6]byte(data)); address != "" {
				if first {
					return address
				}
				best = address
				break
			}
		}
	}
	return best
}

// otherThanWired has the DEVTYPE of what looks like Ethernet and is not a socket on
// the board: drivers/usb/gadget/function/u_ether.c, drivers/net/usb/usbnet.c and
// wireless drivers name theirs.
var otherThanWired = map[string]bool{"gadget": true, "wlan": true, "wwan": true, "bluetooth": true}

// hardwareAddress checks "b8:27:eb:00:00:01", and writes it in lower case. Of zeros,
// and of a group, it is none.
func hardwareAddress(s string) string {
	parts := strings.Split(s, ":")
	if len(parts) != 6 {
		return ""
	}
	var a [6]byte
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) != 2 {
			return ""
		}
		a[i] = byte(n)
	}
	return formatAddress(a)
}

func formatAddress(a [6]byte) string {
	group := a[0]&1 == 1
	if zero := a == [6]byte{}; zero || group {
		return ""
	}
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 17)
	for i, c := range a {
		if i > 0 {
			out = append(out, ':')
		}
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
