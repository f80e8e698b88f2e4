package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// hidden is what stands for a value that must not be seen.
const hidden = "[redacted]"

// shown is one effective setting as it is printed.
type shown struct {
	key    string
	value  any // string, bool, number or list
	source string
}

// Print writes the effective settings v, an Agent or a Gateway, with the source
// of each: a line for each dotted key in the order of the struct, or as JSON
// {"file", "settings": {key: {"value", "source"}}, "ignored"}. A field with the
// tag secret:"true" shows as "[redacted]" when it is set, and the password of a
// URL is hidden. It returns w's error, or one when v is no struct.
func (r Report) Print(w io.Writer, v any, asJSON bool) error {
	value := reflect.Indirect(reflect.ValueOf(v))
	if value.Kind() != reflect.Struct {
		return errors.New("printing settings: not a struct")
	}
	all := r.effective(value)
	var out []byte
	if asJSON {
		var err error
		if out, err = r.json(all); err != nil {
			return fmt.Errorf("printing settings: %w", err)
		}
	} else {
		out = text(all)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("printing settings: %w", err)
	}
	return nil
}

// effective lists what is set; a map stands as its entries, sorted.
func (r Report) effective(v reflect.Value) []shown {
	var all []shown
	add := func(key string, value any) {
		source := r.Origins[key]
		if source == "" {
			source = "default"
		}
		all = append(all, shown{key, value, source})
	}
	for _, f := range leavesOf(v) {
		secret := f.tag.Get("secret") == "true"
		if f.value.Kind() != reflect.Map || f.value.Len() == 0 {
			add(f.key, presented(f.value, secret))
			continue
		}
		entries := map[string]any{}
		for it := f.value.MapRange(); it.Next(); {
			entries[fmt.Sprint(it.Key())] = presented(it.Value(), secret)
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			add(f.key+"."+name, entries[name])
		}
	}
	return all
}

// presented returns a value fit to be shown.
func presented(v reflect.Value, secret bool) any {
	if secret && !v.IsZero() {
		return hidden
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return short(x)
	case Address:
		return x.String()
	case string:
		return withoutPassword(x)
	case []string:
		list := []string{} // JSON: [] for an empty one, never null
		for _, s := range x {
			list = append(list, withoutPassword(s))
		}
		return list
	case map[string]string:
		return map[string]string{} // an empty one, see effective
	default:
		return x
	}
}

// withoutPassword hides the password in a URL, and the whole text when there may
// be one that cannot be found.
func withoutPassword(s string) string {
	if !strings.Contains(s, "@") || !strings.Contains(s, ":") {
		return s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return hidden
	case u.User == nil:
		return s
	}
	if _, set := u.User.Password(); !set {
		return s
	}
	return u.Redacted()
}

// text writes the three columns.
func text(all []shown) []byte {
	rows := make([][3]string, len(all))
	var width [2]int
	for i, s := range all {
		value := fmt.Sprint(s.value)
		switch x := s.value.(type) {
		case string:
			value = cell(x)
		case []string:
			value = cell(strings.Join(x, ","))
		case map[string]string:
			value = "{}"
		}
		rows[i] = [3]string{cell(s.key), value, s.source}
		for j := range width {
			width[j] = max(width[j], utf8.RuneCountInString(rows[i][j]))
		}
	}
	var b bytes.Buffer
	for _, row := range rows {
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", width[0], row[0], width[1], row[1], row[2])
	}
	return b.Bytes()
}

// cell quotes what would not stand on a line by itself.
func cell(s string) string {
	if s == "" || strings.TrimSpace(s) != s || badText(s) != "" {
		return strconv.Quote(s)
	}
	return s
}

// json writes the settings in the order of the struct, which a map would lose.
func (r Report) json(all []shown) ([]byte, error) {
	var settings bytes.Buffer
	settings.WriteByte('{')
	for i, s := range all {
		if i > 0 {
			settings.WriteByte(',')
		}
		key, err := compact(s.key)
		if err != nil {
			return nil, err
		}
		value, err := compact(struct {
			Value  any    `json:"value"`
			Source string `json:"source"`
		}{s.value, s.source})
		if err != nil {
			return nil, err
		}
		settings.Write(key)
		settings.WriteByte(':')
		settings.Write(value)
	}
	settings.WriteByte('}')

	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		File     string          `json:"file"`
		Settings json.RawMessage `json:"settings"`
		Ignored  []string        `json:"ignored"`
	}{r.File, settings.Bytes(), append([]string{}, r.Ignored...)})
	return b.Bytes(), err
}

// compact is json.Marshal without \u0026 for an ampersand.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
