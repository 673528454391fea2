// Package jsonpointer finds values in JSON texts by RFC 6901 pointers.
package jsonpointer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errNotJSON = errors.New("the answer is not JSON")

// Lookup returns the value in a JSON text that an RFC 6901 pointer names. Numbers come as json.Number, just as they were
// written.
func Lookup(text []byte, pointer string) (any, error) {
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errNotJSON
	}
	if pointer == "" {
		return value, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("the pointer %q does not begin with /", pointer)
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		next, ok := lookupToken(value, unescapeToken(token))
		if !ok {
			return nil, fmt.Errorf("the answer has no %s", pointer)
		}
		value = next
	}
	return value, nil
}

// unescapeToken reads one reference token: ~1 is /, ~0 is ~, in this order.
func unescapeToken(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

func lookupToken(value any, token string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[token]
		return next, ok
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != token { // no sign, no leading zero
			return nil, false
		}
		return v[i], true
	default:
		return nil, false
	}
}
