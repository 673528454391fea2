package request

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rollcall/internal/jsonpointer"
)

// The ways to learn that the work of a call is over.
const (
	// DoneStatus: the status of the response says so.
	DoneStatus = "status"
	// DoneJSON: a value in the response says so.
	DoneJSON = "json"
)

// Done says when the work of a call is over.
type Done struct {
	Type string `json:"type"`
	// Pointer (RFC 6901) names the value of DoneJSON. It is over when the value is one of Equals, or is there when that list
	// is empty; it has failed when the value is one of Fails.
	Pointer string   `json:"pointer,omitempty"`
	Equals  []Scalar `json:"equals,omitempty"`
	Fails   []Scalar `json:"fails,omitempty"`
}

// Scalar is a string, a number or a boolean of JSON, as text.
type Scalar string

// UnmarshalJSON reads a scalar.
func (s *Scalar) UnmarshalJSON(text []byte) error {
	value, err := decodeJSON(text)
	if err != nil {
		return err
	}
	switch v := value.(type) {
	case string:
		*s = Scalar(v)
	case json.Number:
		*s = Scalar(v.String())
	case bool:
		*s = Scalar(fmt.Sprint(v))
	default:
		return errors.New("must be a string, a number or a boolean")
	}
	return nil
}

// Progress is what a response says of the work.
type Progress int

// Open: nothing is known. Succeeded and Failed are final.
const (
	Open Progress = iota
	Succeeded
	Failed
)

// Judge returns what a response says of the work, and why in words that follow those of the response.
func (d *Done) Judge(body []byte) (found Progress, why string) {
	value, err := jsonpointer.Lookup(body, d.Pointer)
	if err != nil {
		return Open, err.Error()
	}
	text := scalarText(value)
	switch {
	case slices.Contains(d.Fails, text):
		return Failed, fmt.Sprintf("%s is %q", d.Pointer, text)
	case len(d.Equals) == 0, slices.Contains(d.Equals, text):
		return Succeeded, ""
	default:
		return Open, fmt.Sprintf("%s is %q", d.Pointer, text)
	}
}

// scalarText returns a value as the lists have it; objects and lists as JSON.
func scalarText(value any) Scalar {
	switch v := value.(type) {
	case string:
		return Scalar(v)
	case json.Number:
		return Scalar(v.String())
	default:
		encoded, _ := encodeJSON(v) // what was decoded can be encoded
		return Scalar(encoded)
	}
}
