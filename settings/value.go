package settings

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// wants says in words what a setting of type t takes.
func wants(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "wants a duration such as 30s, 5m or 2h"
	}
	if t == reflect.TypeFor[Address]() {
		return "wants an I2C address such as 0x3c"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "wants true or false"
	case reflect.Int, reflect.Int64:
		return "wants a whole number"
	case reflect.Float64:
		return "wants a number"
	case reflect.Slice:
		return "wants a list"
	case reflect.Map, reflect.Struct:
		return "wants keys and values below it"
	}
	return "wants text"
}

// setText sets v from text, the same way for file, environment and flags; a
// list is comma-separated. It returns what is wrong, or "".
func setText(v reflect.Value, text string) (problem string) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return wants(v.Type())
		}
		v.SetInt(int64(d))
		return ""
	}
	if v.Type() == reflect.TypeFor[Address]() {
		n, err := strconv.ParseUint(text, 0, 16) // data sheets and i2cdetect write hexadecimal
		if err != nil || strings.Contains(text, "_") {
			return wants(v.Type())
		}
		v.SetUint(n)
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		if problem := badText(text); problem != "" {
			return problem
		}
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true", "True", "TRUE": // the spellings of YAML 1.2, section 10.3.2
			v.SetBool(true)
		case "false", "False", "FALSE":
			v.SetBool(false)
		default:
			return wants(v.Type())
		}
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		// 017 is 17 to some and 15 to others; 1_000 and 0x10 are no better.
		if err != nil || strconv.FormatInt(n, 10) != text || v.OverflowInt(n) {
			return wants(v.Type())
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(text, "xX_") {
			return wants(v.Type())
		}
		v.SetFloat(f)
	case reflect.Slice:
		var list []string
		if strings.TrimSpace(text) != "" {
			list = strings.Split(text, ",")
		}
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
			if list[i] == "" {
				return "has an empty entry between its commas"
			}
			if problem := badText(list[i]); problem != "" {
				return problem
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return wants(v.Type())
	}
	return ""
}

// badText refuses characters that cannot be seen: in a path, a name or a URL
// they are always a mistake, and in a log they forge lines.
func badText(s string) string {
	for _, r := range s {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return "holds a character that cannot be shown (" + strconv.QuoteRuneToASCII(r) + ")"
		}
	}
	return ""
}

// setEntry sets one entry of a map of texts.
func setEntry(m reflect.Value, name, text string) {
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	m.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(text))
}

// got returns ", got ..." for a message, unless the value is nobody's business.
func got(tag reflect.StructTag, text string) string {
	if tag.Get("secret") == "true" || tag.Get("is") == "url" {
		return ""
	}
	return ", got " + quoted(text)
}
