package sim

// command takes one byte of a command or of its arguments, which may come in as
// many transactions as they like.
func (d *SSD1306) command(b byte) {
	d.pending = append(d.pending, b)
	c := commandOf(d.pending[0])
	if c == nil {
		d.fault("unknown command 0x%02x", b)
		d.pending = nil
		return
	}
	if len(d.pending) <= c.args {
		return
	}
	code, args := d.pending[0], d.pending[1:]
	d.pending = nil
	if c.do != nil {
		c.do(d, code, args)
	}
}

// A chipCommand is a row of table 9-1: codes from first to last with so many
// argument bytes.
type chipCommand struct {
	first, last byte
	args        int
	do          func(d *SSD1306, code byte, args []byte) // nil: nothing that is seen
}

func commandOf(code byte) *chipCommand {
	for i := range commands {
		if c := &commands[i]; c.first <= code && code <= c.last {
			return c
		}
	}
	return nil
}

// commands is table 9-1 of the data sheet and the charge pump's command of its
// application note. Where a row says "ignored" the effect is on timing or
// voltage, which a picture does not show.
var commands = []chipCommand{
	{0x00, 0x0F, 0, lowColumn},
	{0x10, 0x1F, 0, highColumn},
	{0x20, 0x20, 1, addressingMode},
	{0x21, 0x21, 2, columnWindow},
	{0x22, 0x22, 2, pageWindow},
	{0x26, 0x27, 6, scrollSetup}, // horizontal, right and left
	{0x29, 0x2A, 5, scrollSetup}, // vertical and horizontal
	{0x2E, 0x2F, 0, func(d *SSD1306, code byte, _ []byte) { d.scrolling = code == 0x2F }},
	{0x40, 0x7F, 0, func(d *SSD1306, code byte, _ []byte) { d.startLine = code & 0x3F }},
	{0x81, 0x81, 1, func(d *SSD1306, _ byte, args []byte) { d.contrast = args[0] }},
	{0x8D, 0x8D, 1, chargePump},
	{0xA0, 0xA1, 0, func(d *SSD1306, code byte, _ []byte) { d.segRemap = code == 0xA1 }},
	{0xA3, 0xA3, 2, nil}, // area of the vertical scroll
	{0xA4, 0xA5, 0, func(d *SSD1306, code byte, _ []byte) { d.allOn = code == 0xA5 }},
	{0xA6, 0xA7, 0, func(d *SSD1306, code byte, _ []byte) { d.inverse = code == 0xA7 }},
	{0xA8, 0xA8, 1, multiplex},
	{0xAE, 0xAF, 0, func(d *SSD1306, code byte, _ []byte) { d.on = code == 0xAF }},
	{0xB0, 0xB7, 0, startPage},
	{0xC0, 0xC0, 0, func(d *SSD1306, _ byte, _ []byte) { d.comRemap = false }},
	{0xC8, 0xC8, 0, func(d *SSD1306, _ byte, _ []byte) { d.comRemap = true }},
	{0xD3, 0xD3, 1, func(d *SSD1306, _ byte, args []byte) { d.offset = args[0] & 0x3F }},
	{0xD5, 0xD5, 1, nil}, // clock: ignored
	{0xD9, 0xD9, 1, preCharge},
	{0xDA, 0xDA, 1, comPins},
	{0xDB, 0xDB, 1, nil}, // V(COMH): ignored
	{0xE3, 0xE3, 0, nil}, // no operation
}

// limit masks an argument to its bits and records a fault when others are set.
func (d *SSD1306) limit(code, arg, mask byte) byte {
	if arg&^mask != 0 {
		d.fault("command 0x%02x: argument 0x%02x is above 0x%02x", code, arg, mask)
	}
	return arg & mask
}

// onlyIn records a fault when a command is sent in a mode that the data sheet
// does not give it for. It is carried out all the same, as chips do.
func (d *SSD1306) onlyIn(code byte, page bool) {
	switch {
	case page && d.mode != paged:
		d.fault("command 0x%02x is for page addressing only", code)
	case !page && d.mode == paged:
		d.fault("command 0x%02x is for horizontal and vertical addressing only", code)
	}
}

func lowColumn(d *SSD1306, code byte, _ []byte) {
	d.onlyIn(code, true)
	d.col = d.col&0xF0 | code&0x0F
}

func highColumn(d *SSD1306, code byte, _ []byte) {
	d.onlyIn(code, true)
	d.col = d.col&0x0F | d.limit(code, code&0x0F, 0x07)<<4
}

func startPage(d *SSD1306, code byte, _ []byte) {
	d.onlyIn(code, true)
	d.page = code & 0x07
}

func addressingMode(d *SSD1306, code byte, args []byte) {
	mode := args[0] & 3 // the others do not matter
	if mode == 3 {
		d.fault("command 0x%02x: mode 3 is invalid", code)
		return
	}
	d.mode = int(mode)
}

func columnWindow(d *SSD1306, code byte, args []byte) {
	d.onlyIn(code, false)
	d.colStart, d.colEnd = d.limit(code, args[0], Width-1), d.limit(code, args[1], Width-1)
	if d.colStart > d.colEnd {
		d.fault("command 0x%02x: window from %d to %d", code, d.colStart, d.colEnd)
	}
	d.col = d.colStart
}

func pageWindow(d *SSD1306, code byte, args []byte) {
	d.onlyIn(code, false)
	d.pageStart, d.pageEnd = d.limit(code, args[0], pages-1), d.limit(code, args[1], pages-1)
	if d.pageStart > d.pageEnd {
		d.fault("command 0x%02x: window from %d to %d", code, d.pageStart, d.pageEnd)
	}
	d.page = d.pageStart
}

func scrollSetup(d *SSD1306, code byte, args []byte) {
	if d.scrolling {
		d.fault("command 0x%02x while scrolling is active", code)
	}
	if first, last := args[1]&7, args[3]&7; first > last {
		d.fault("command 0x%02x: pages from %d to %d", code, first, last)
	}
}

func multiplex(d *SSD1306, code byte, args []byte) {
	n := args[0] & 0x3F
	if n < 15 {
		d.fault("command 0x%02x: multiplex ratio %d is invalid, 16 is the least", code, n+1)
		return
	}
	d.rows = n + 1
}

func chargePump(d *SSD1306, code byte, args []byte) {
	if args[0]&0x3B != 0x10 {
		d.fault("command 0x%02x: argument 0x%02x, want 0x10 or 0x14", code, args[0])
	}
	d.pump = args[0]&0x04 != 0
}

func preCharge(d *SSD1306, code byte, args []byte) {
	if args[0]&0x0F == 0 || args[0]&0xF0 == 0 {
		d.fault("command 0x%02x: a phase of no clocks in 0x%02x", code, args[0])
	}
}

func comPins(d *SSD1306, code byte, args []byte) {
	if args[0]&^0x30 != 0x02 {
		d.fault("command 0x%02x: argument 0x%02x, want 0x02, 0x12, 0x22 or 0x32", code, args[0])
	}
	d.comPins = args[0]
}
