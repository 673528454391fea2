package jsonpointer_test

import (
	"encoding/json"
	"testing"

	"rollcall/internal/jsonpointer"
)

// FuzzPointer: what a pointer finds in a document is what walking the document by hand finds, and nothing panics.
func FuzzPointer(f *testing.F) {
	f.Add(`{"a":{"b":[1,"x"]}}`, "/a/b/1")
	f.Add(`{"a/b":{"m~n":1}}`, "/a~1b/m~0n")
	f.Add(`[[]]`, "/0/-")
	f.Add(`{"":1}`, "/")
	f.Add(`{"~1":1}`, "/~01")
	f.Fuzz(func(t *testing.T, text, pointer string) {
		value, err := jsonpointer.Lookup([]byte(text), pointer)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("found %v in what is not JSON", value)
		}
		if pointer != "" && pointer[0] != '/' {
			t.Fatalf("found %v by a pointer that is none", value)
		}
		// Under a key of its own the same value is one step further down.
		deeper, err := jsonpointer.Lookup([]byte(`{"k~/":`+text+`}`), "/k~0~1"+pointer)
		if a, b := marshalled(t, value), marshalled(t, deeper); err != nil || a != b {
			t.Fatalf("%s one level down is %s, %v", a, b, err)
		}
	})
}

func marshalled(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
