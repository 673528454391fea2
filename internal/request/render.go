package request

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/problem"
	"rollcall/internal/secret"
)

// Error is the reason why a call cannot be rendered. Pointer begins at the request.
type Error struct {
	Pointer string
	Err     error
}

func (e *Error) Error() string { return strings.TrimPrefix(e.Pointer, "/") + " " + e.Err.Error() }

// Unwrap returns what is wrong there.
func (e *Error) Unwrap() error { return e.Err }

// Rendered is a call that can be made.
type Rendered struct {
	Method string
	URL    string
	// Headers are those of the request, and the type of its body; the names are lower-case.
	Headers map[string]secret.Secret
	Body    []byte
}

const contentType = "content-type"

// Render fills the placeholders in. defaultBody is sent where the request has no body and its method has one.
func (r *Request) Render(values Values, defaultBody func() ([]byte, error)) (Rendered, error) {
	call := Rendered{Method: r.Method, Headers: make(map[string]secret.Secret, len(r.Headers)+1)}
	var err error
	if call.URL, err = RenderURL(r.URL, values); err != nil {
		return call, &Error{Pointer: "/url", Err: err}
	}
	body, media, err := r.renderBody(values, defaultBody)
	if err != nil {
		return call, err
	}
	call.Body = body
	if media != "" {
		call.Headers[contentType] = secret.Secret(media)
	}
	for name, template := range r.Headers {
		value, err := fillTemplate(template.Reveal(), values, asGiven)
		if err == nil && !validHeaderValue(value) {
			err = errHeaderValue
		}
		if err != nil {
			return call, &Error{Pointer: "/headers/" + problem.EscapePointer(name), Err: err}
		}
		call.Headers[strings.ToLower(name)] = secret.Secret(value)
	}
	return call, nil
}

// renderBody returns the body and its media type; both are empty when there is none.
func (r *Request) renderBody(values Values, defaultBody func() ([]byte, error)) (body []byte, media string, err error) {
	switch {
	case len(r.JSON) > 0:
		body, err = fillJSON(r.JSON, values)
		return body, "application/json", err
	case r.Form != nil:
		body, err = fillForm(r.Form, values)
		return body, "application/x-www-form-urlencoded", err
	case r.Text != nil:
		text, err := fillTemplate(*r.Text, values, asGiven)
		if err != nil {
			return nil, "", &Error{Pointer: "/text", Err: err}
		}
		return []byte(text), "text/plain; charset=utf-8", nil
	case r.UsesDefaultBody():
		body, err = defaultBody()
		return body, "application/json", err
	default:
		return nil, "", nil
	}
}

func fillForm(form map[string]string, values Values) ([]byte, error) {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		value, err := fillTemplate(form[name], values, asGiven)
		if err != nil {
			return nil, &Error{Pointer: "/form/" + problem.EscapePointer(name), Err: err}
		}
		fields = append(fields, percentEncode(name)+"="+percentEncode(value))
	}
	return []byte(strings.Join(fields, "&")), nil
}

// WithoutQuery returns a URL without its query, which may hold credentials.
func WithoutQuery(url string) string {
	path, _, _ := strings.Cut(url, "?")
	return path
}

// BodySHA256 returns the hash of the body, in hexadecimal digits.
func (c *Rendered) BodySHA256() string {
	sum := sha256.Sum256(c.Body)
	return hex.EncodeToString(sum[:])
}
