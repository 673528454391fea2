package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"rollcall/internal/problem"
)

// JSON is a JSON value in one spelling: sorted keys, no spaces, numbers as they were written. A database may respell it.
type JSON []byte

// MarshalJSON returns the value.
func (j JSON) MarshalJSON() ([]byte, error) {
	if len(j) == 0 {
		return []byte("null"), nil
	}
	return j, nil
}

// UnmarshalJSON reads a value; null is none.
func (j *JSON) UnmarshalJSON(text []byte) error {
	value, err := decodeJSON(text)
	if err != nil {
		return err
	}
	*j = nil
	if value == nil {
		return nil
	}
	*j, err = encodeJSON(value)
	return err
}

func decodeJSON(text []byte) (any, error) {
	if !json.Valid(text) {
		return nil, errors.New("is not JSON")
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	return value, nil
}

func encodeJSON(value any) ([]byte, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("cannot be encoded: %w", err)
	}
	return bytes.TrimSuffix(encoded.Bytes(), []byte("\n")), nil
}

// fillJSON returns the body with the strings of the value filled in. A string that is exactly a placeholder of a number or a
// list becomes that.
func fillJSON(body JSON, values Values) ([]byte, error) {
	if !bytes.ContainsAny(body, "{}") {
		return body, nil
	}
	value, err := decodeJSON(body)
	if err != nil {
		return nil, &Error{Pointer: "/json", Err: err}
	}
	filled, err := walkJSON(value, "/json", func(text, pointer string) (any, error) {
		filled, err := fillString(text, values)
		if err != nil {
			return nil, &Error{Pointer: pointer, Err: err}
		}
		return filled, nil
	})
	if err != nil {
		return nil, err
	}
	return encodeJSON(filled)
}

func fillString(text string, values Values) (any, error) {
	if parts, err := parseTemplate(text); err == nil && len(parts) == 1 && parts[0].isPlaceholder() {
		value, err := lookUp(parts[0].name, values)
		if err == nil && value.JSON != nil {
			return json.RawMessage(value.JSON), nil
		}
		return value.Text, err
	}
	return fillTemplate(text, values, asGiven)
}

// checkJSON returns what is wrong with the strings of the value.
func checkJSON(body JSON, known Names) []problem.FieldError {
	value, err := decodeJSON(body)
	if err != nil {
		return []problem.FieldError{{Pointer: "/json", Detail: err.Error()}}
	}
	var found []problem.FieldError
	_, _ = walkJSON(value, "/json", func(text, pointer string) (any, error) {
		if err := checkTemplate(text, known); err != nil {
			found = append(found, problem.FieldError{Pointer: pointer, Detail: err.Error()})
		}
		return text, nil
	})
	return found
}

// walkJSON returns the value with each of its strings replaced by what change returns. Keys are left as they are.
func walkJSON(value any, pointer string, change func(text, pointer string) (any, error)) (any, error) {
	switch v := value.(type) {
	case string:
		return change(v, pointer)
	case []any:
		for i := range v {
			changed, err := walkJSON(v[i], pointer+"/"+strconv.Itoa(i), change)
			if err != nil {
				return nil, err
			}
			v[i] = changed
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			changed, err := walkJSON(v[key], pointer+"/"+problem.EscapePointer(key), change)
			if err != nil {
				return nil, err
			}
			v[key] = changed
		}
	}
	return value, nil
}
