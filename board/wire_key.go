package board

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// key finds the gpio-keys button that w names.
func (f *fitter) key(w ButtonWiring) {
	const setting = "hardware.button.key"
	if w.Key == "" {
		return
	}
	if w.Line != "" {
		f.refuse(setting, "the button is hardware.button.line already", "remove one of the two")
		return
	}
	found := f.keys(w.Key)
	switch {
	case len(found) == 0:
		f.refuse(setting, fmt.Sprintf("this board has no key %q", w.Key), f.keyList())
	case len(found) > 1:
		f.refuse(setting, fmt.Sprintf("%d keys of this board are %q", len(found), w.Key), f.keyList())
	case found[0].Device == "":
		f.warn(setting, fmt.Sprintf("the key %s has no input device yet, so it is not used", keyName(found[0])), "sudo modprobe -a gpio_keys evdev, then restart the agent")
	default:
		f.plan.key = &found[0]
	}
}

// keys are those with this label, or, when there are none, with this code.
func (f *fitter) keys(ref string) (found []Key) {
	for _, k := range f.b.Keys {
		if k.Name != "" && spelling(k.Name) == spelling(ref) {
			found = append(found, k)
		}
	}
	if found != nil {
		return found
	}
	code, ok := keyCodes[strings.ToUpper(ref)]
	if n, err := strconv.ParseUint(ref, 0, 16); err == nil {
		code, ok = uint16(n), true
	}
	for _, k := range f.b.Keys {
		if ok && k.Code == code {
			found = append(found, k)
		}
	}
	return found
}

func (f *fitter) keyList() string {
	var names []string
	for _, k := range f.b.Keys {
		names = append(names, keyName(k))
	}
	if len(names) == 0 {
		return "this board has no keys; for a button on the header use hardware.button.line"
	}
	return "there are " + strings.Join(names, ", ")
}

// keyName names a key with its code: "Power Button" (KEY_POWER).
func keyName(k Key) string {
	code := strconv.Itoa(int(k.Code))
	var names []string
	for name, c := range keyCodes {
		if c == k.Code {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		code = slices.Min(names)
	}
	if k.Name == "" {
		return code
	}
	return fmt.Sprintf("%q (%s)", k.Name, code)
}

// keyCodes are the keys that boards have as buttons, those of two and more device
// trees of Linux 6.12, by their names in include/uapi/linux/input-event-codes.h.
// Others are written as numbers.
var keyCodes = map[string]uint16{
	"KEY_ESC": 1, "KEY_ENTER": 28, "KEY_F1": 59, "KEY_F2": 60, "KEY_F3": 61, "KEY_F4": 62,
	"KEY_HOME": 102, "KEY_UP": 103, "KEY_LEFT": 105, "KEY_RIGHT": 106, "KEY_DOWN": 108,
	"KEY_VOLUMEDOWN": 114, "KEY_VOLUMEUP": 115, "KEY_POWER": 116, "KEY_MENU": 139, "KEY_SETUP": 141,
	"KEY_SLEEP": 142, "KEY_WAKEUP": 143, "KEY_PROG1": 148, "KEY_PROG2": 149, "KEY_BACK": 158,
	"KEY_PHONE": 169, "KEY_HOMEPAGE": 172, "KEY_CAMERA": 212, "KEY_UNKNOWN": 240,
	"BTN_0": 0x100, "BTN_1": 0x101, "BTN_2": 0x102, "BTN_3": 0x103, "BTN_4": 0x104, "BTN_5": 0x105,
	"BTN_6": 0x106, "BTN_7": 0x107, "BTN_8": 0x108, "BTN_9": 0x109,
	"KEY_OK": 0x160, "KEY_OPTION": 0x165, "KEY_VENDOR": 0x168, "KEY_RESTART": 0x198, "KEY_FN": 0x1d0, "KEY_WPS_BUTTON": 0x211,
	"BTN_TRIGGER_HAPPY1": 0x2c0, "BTN_TRIGGER_HAPPY2": 0x2c1,
}
