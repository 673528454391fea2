package request

import (
	"maps"
	"slices"
	"strings"

	"rollcall/internal/problem"
)

// MaxBody is the maximum size of a body, in bytes, before placeholders are filled in.
const MaxBody = 64 << 10

// Validate returns what is wrong with the request whatever its values are; pointers begin at the request.
func (r *Request) Validate(known Names) []problem.FieldError {
	var found []problem.FieldError
	add := func(pointer string, err error) {
		if err != nil {
			found = append(found, problem.FieldError{Pointer: pointer, Detail: err.Error()})
		}
	}
	add("/url", CheckURL(r.URL, known))
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		add("/headers/"+problem.EscapePointer(name), r.checkHeader(name, seen, known))
	}
	found = append(found, r.checkBody(known)...)
	if r.Sign != nil && r.Sign.Type == SignHMAC {
		add("/sign/header", checkSignHeader(r.Sign.Header, seen))
		if !validHeaderValue(r.Sign.Prefix) {
			add("/sign/prefix", errHeaderValue)
		}
	}
	return found
}

func checkSignHeader(name string, taken map[string]bool) error {
	if taken[strings.ToLower(name)] {
		return errHeaderTwice
	}
	return checkHeaderName(name)
}

func (r *Request) checkHeader(name string, seen map[string]bool, known Names) error {
	lower := strings.ToLower(name)
	if seen[lower] {
		return errHeaderTwice
	}
	seen[lower] = true
	if err := checkHeaderName(name); err != nil {
		return err
	}
	value := r.Headers[name].Reveal()
	if !validHeaderValue(value) {
		return errHeaderValue
	}
	return checkTemplate(value, known)
}

func (r *Request) checkBody(known Names) []problem.FieldError {
	var found []problem.FieldError
	given := ""
	for _, body := range []struct {
		name  string
		given bool
		size  int
	}{{"json", len(r.JSON) > 0, len(r.JSON)}, {"form", r.Form != nil, formSize(r.Form)}, {"text", r.Text != nil, textSize(r.Text)}} {
		switch {
		case !body.given:
			continue
		case given != "":
			found = append(found, problem.FieldError{Pointer: "/" + body.name, Detail: "mutually exclusive with " + given})
		case body.size > MaxBody:
			found = append(found, problem.FieldError{Pointer: "/" + body.name, Detail: "must be at most 65536 bytes"})
		}
		given = body.name
	}
	if len(r.JSON) > 0 {
		found = append(found, checkJSON(r.JSON, known)...)
	}
	for _, field := range slices.Sorted(maps.Keys(r.Form)) {
		if err := checkTemplate(r.Form[field], known); err != nil {
			found = append(found, problem.FieldError{Pointer: "/form/" + problem.EscapePointer(field), Detail: err.Error()})
		}
	}
	if r.Text != nil {
		if err := checkTemplate(*r.Text, known); err != nil {
			found = append(found, problem.FieldError{Pointer: "/text", Detail: err.Error()})
		}
	}
	return found
}

func formSize(form map[string]string) int {
	size := 0
	for name, value := range form {
		size += len(name) + len(value)
	}
	return size
}

func textSize(text *string) int {
	if text == nil {
		return 0
	}
	return len(*text)
}
