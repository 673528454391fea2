package httpkit

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/problem"
)

// ReadQuery parses the query; each parameter may be given once.
func ReadQuery(raw string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, MalformedError("invalid query string")
	}
	for name, values := range query {
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, MalformedError("query string is not UTF-8")
		}
		if len(values) > 1 {
			return nil, InvalidField(ParameterPointer(name), "must be given once")
		}
		if strings.ContainsFunc(values[0], unicode.IsControl) {
			return nil, InvalidField(ParameterPointer(name), "must not have control characters")
		}
		if strings.ContainsFunc(values[0], IsDeceptive) {
			return nil, InvalidField(ParameterPointer(name), mustNotDeceive)
		}
	}
	return query, nil
}

// ParameterPointer returns the JSON pointer of a parameter; empty when its name is too long to be repeated.
func ParameterPointer(name string) string {
	if len(name) > maxFieldName {
		return ""
	}
	return "/" + problem.EscapePointer(name)
}

// ReadBody reads a body of at most limit bytes.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLargeError(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLargeError(limit)
	}
	if err != nil {
		return nil, MalformedError("request body ended early")
	}
	return body, nil
}

// RequireJSON returns an error unless the body is JSON in UTF-8.
func RequireJSON(h http.Header) error {
	mediaType, err := MediaType(h)
	if err == nil && mediaType != "application/json" {
		err = UnsupportedTypeError("Content-Type must be application/json")
	}
	return err
}

// MediaType returns the media type of a body, which must be uncompressed UTF-8.
func MediaType(h http.Header) (string, error) {
	for _, encoding := range h.Values("Content-Encoding") {
		if !strings.EqualFold(encoding, "identity") {
			return "", UnsupportedTypeError("compressed bodies are not supported")
		}
	}
	if len(h.Values("Content-Type")) > 1 {
		return "", UnsupportedTypeError("more than one Content-Type")
	}
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "", UnsupportedTypeError("Content-Type must be application/json")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", UnsupportedTypeError("charset must be UTF-8")
	}
	return mediaType, nil
}
