package header

import (
	"fmt"
	"slices"
	"testing"
)

func TestForPi(t *testing.T) {
	for compatible, want := range map[string]struct {
		chip string
		pins int
	}{
		"raspberrypi,model-b":          {"pinctrl-bcm2835", 26},
		"raspberrypi,model-zero-2-w":   {"pinctrl-bcm2835", 40},
		"raspberrypi,3-model-b":        {"pinctrl-bcm2835", 40},
		"raspberrypi,4-model-b":        {"pinctrl-bcm2711", 40},
		"raspberrypi,400":              {"pinctrl-bcm2711", 40},
		"raspberrypi,4-compute-module": {"pinctrl-bcm2711", 40},
		"raspberrypi,5-model-b":        {"pinctrl-rp1", 40},
	} {
		h := For([]string{compatible, "brcm,whatever"})
		if h == nil {
			t.Errorf("%s has no header", compatible)
			continue
		}
		p, ok := h.Pin("pin 11")
		if !ok || p.Name != "GPIO17" || p.Chip != want.chip || p.Offset != 17 || len(h.Pins) != want.pins {
			t.Errorf("%s: %d pins, pin 11 is %+v", compatible, len(h.Pins), p)
		}
	}
}

// TestPiPins is the 40-pin header as the vendor's documentation draws it: the
// GPIO number, or -1 for power and ground.
func TestPiPins(t *testing.T) {
	want := []int{
		-1, -1, 2, -1, 3, -1, 4, 14, -1, 15, 17, 18, 27, -1, 22, 23, -1, 24, 10, -1,
		9, 25, 11, 8, -1, 7, 0, 1, 5, -1, 6, 12, 13, -1, 19, 16, 26, 20, -1, 21,
	}
	var got []int
	for i, p := range For([]string{"raspberrypi,4-model-b"}).Pins {
		if p.Number != i+1 {
			t.Errorf("pin %d has number %d", i+1, p.Number)
		}
		n := -1
		if p.Chip != "" {
			n = p.Offset
			if p.Name != fmt.Sprintf("GPIO%d", n) {
				t.Errorf("line %d is called %s", n, p.Name)
			}
		}
		got = append(got, n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %d\nwant %d", got, want)
	}
}
