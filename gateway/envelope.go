package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// MaxEnvelope is the most that a body of the gateway may measure, in bytes,
// whichever way it goes; the server may set a lower limit for requests.
const MaxEnvelope = 1 << 20

// ErrBadEnvelope is what ParseEnvelope and Decode wrap: the body is not what
// the gateway's HTTP routes answer.
var ErrBadEnvelope = errors.New("not an answer of the gateway's API")

// Envelope is what every HTTP route but ping and the CA's files answers. Its
// zero values are written as null, and null, missing and empty read alike.
type Envelope struct {
	Success    bool
	Status     string          // text of the HTTP status: "OK"
	StatusCode int             // the HTTP status; the one in the status line counts
	Message    string          // for a person; empty on success
	ErrorCode  string          // Kind.String of a failure, see KindFromErrorCode
	SubErrors  []string        // further failures, such as one for each field
	Payload    json.RawMessage // JSON, nil when there is none
}

// NewSuccess returns the envelope of an answer with HTTP status 200. A nil
// payload is written as null; one that JSON cannot express is an error.
func NewSuccess(payload any) (Envelope, error) {
	e := Envelope{Success: true, Status: http.StatusText(http.StatusOK), StatusCode: http.StatusOK}
	if payload == nil {
		return e, nil
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return Envelope{}, fmt.Errorf("marshalling payload: %w", err)
	}
	e.Payload = raw
	return e, nil
}

// NewFailure returns the envelope of a failure; send it with k.HTTPStatus().
// message and subErrors reach the other side and may hold no secret.
func NewFailure(k Kind, message string, subErrors []string) Envelope {
	return Envelope{
		Status:     http.StatusText(k.HTTPStatus()),
		StatusCode: k.HTTPStatus(),
		Message:    message,
		ErrorCode:  k.String(),
		SubErrors:  subErrors,
	}
}

// MarshalJSON writes all seven members, always in the same order.
func (e Envelope) MarshalJSON() ([]byte, error) {
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	w := struct {
		Success    bool            `json:"success"`
		Status     string          `json:"status"`
		StatusCode int             `json:"statusCode"`
		Message    *string         `json:"message"`
		ErrorCode  *string         `json:"errorCode"`
		SubErrors  []string        `json:"subErrors"` // null when nil, which readers of one string take too
		Payload    json.RawMessage `json:"payload"`
	}{e.Success, e.Status, e.StatusCode, orNull(e.Message), orNull(e.ErrorCode), nil, e.Payload}
	if len(e.SubErrors) > 0 {
		w.SubErrors = e.SubErrors
	}
	return json.Marshal(w)
}

// ParseEnvelope reads an envelope as generously as the clouds in the field need
// it: all members but success may be missing or null, and the texts may be
// strings, numbers, objects or arrays of such. The error wraps ErrBadEnvelope
// and does not quote the body.
func ParseEnvelope(body []byte) (Envelope, error) {
	var w struct {
		Success    *bool           `json:"success"`
		Status     json.RawMessage `json:"status"`
		StatusCode json.RawMessage `json:"statusCode"`
		Message    json.RawMessage `json:"message"`
		ErrorCode  json.RawMessage `json:"errorCode"`
		SubErrors  json.RawMessage `json:"subErrors"`
		Payload    json.RawMessage `json:"payload"`
	}
	if len(body) > MaxEnvelope {
		return Envelope{}, fmt.Errorf("%w: longer than %d bytes", ErrBadEnvelope, MaxEnvelope)
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrBadEnvelope, jsonError(err))
	}
	if w.Success == nil {
		return Envelope{}, fmt.Errorf("%w: it does not say whether it is a success", ErrBadEnvelope)
	}
	e := Envelope{
		Success:   *w.Success,
		Status:    strings.Join(texts(w.Status), "; "),
		Message:   strings.Join(texts(w.Message), "; "),
		ErrorCode: strings.Join(texts(w.ErrorCode), "; "),
		SubErrors: texts(w.SubErrors),
	}
	if n := texts(w.StatusCode); len(n) == 1 {
		var code int // a status that is no number is no reason to refuse the rest
		if json.Unmarshal([]byte(n[0]), &code) == nil {
			e.StatusCode = code
		}
	}
	if present(w.Payload) {
		e.Payload = w.Payload
	}
	return e, nil
}

// Decode reads the payload, which must be a JSON object, into v, a pointer to
// one of the payload structs.
func (e Envelope) Decode(v any) error {
	raw := bytes.TrimSpace(e.Payload)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return fmt.Errorf("%w: it has no payload", ErrBadEnvelope)
	case raw[0] == '[':
		return fmt.Errorf("%w: its payload is an array, want an object", ErrBadEnvelope)
	case raw[0] != '{':
		return fmt.Errorf("%w: its payload is no object", ErrBadEnvelope)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%w: its payload: %w", ErrBadEnvelope, jsonError(err))
	}
	return nil
}

func present(raw json.RawMessage) bool {
	return len(raw) != 0 && string(raw) != "null"
}

// texts flattens what clouds put where a text belongs; empty texts are dropped.
func texts(raw json.RawMessage) []string {
	if !present(raw) {
		return nil
	}
	var list []json.RawMessage
	if raw[0] != '[' {
		list = []json.RawMessage{raw}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	var out []string
	for _, item := range list {
		if t := text(item); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// text reads a string as itself, an object by its message and field, and
// anything else as its JSON.
func text(raw json.RawMessage) string {
	if !present(raw) {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var o struct{ Field, Message string }
	if raw[0] == '{' && json.Unmarshal(raw, &o) == nil && o.Message != "" {
		if o.Field != "" {
			return o.Field + ": " + o.Message
		}
		return o.Message
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return ""
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// jsonError keeps where and what of a JSON error and drops the value, which may
// be a secret that stands in the wrong place.
func jsonError(err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("broken or truncated JSON at byte %d", syntax.Offset)
	case errors.As(err, &typ) && typ.Field != "":
		return fmt.Errorf("%s has the wrong JSON type", typ.Field)
	}
	return errors.New("JSON of the wrong type")
}
