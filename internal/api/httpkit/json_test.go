package httpkit

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSON_ValidIsAccepted(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, `null`, `[]`, ` "a" `, `-0.0`, `0e999999`, `1.7e308`, `123456789012345678901234567890`,
		`"\ud83d\ude00"`, `"\\ud800"`, `"\\\\\"\u00e9"`, `{"a":{"a":{"a":1}},"A":1}`, `[{"a":1},{"a":1}]`,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		if err := CheckJSON([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestJSON_TooDeepIsMalformed(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(`{"a":`, maxDepth) + "[]" + strings.Repeat("}", maxDepth)
	if p := problemOf(CheckJSON([]byte(body))); p.Status != http.StatusBadRequest {
		t.Errorf("status %d: %s", p.Status, p.Detail)
	}
}

func TestJSON_ProblemPointsIntoBody(t *testing.T) {
	t.Parallel()
	for body, pointer := range map[string]string{
		`"\u0000"`:                       "",
		`{"a":["",{"b/c~":"x\u0000"}]}`:  "/a/1/b~1c~0",
		`[1,2,[1e999]]`:                  "/2/0",
		`{"a":-1e-999}`:                  "/a",
		`{"a":{"\u0000":{}},"b":"fine"}`: "/a/\x00",
	} {
		p := problemOf(CheckJSON([]byte(body)))
		if p.Status != http.StatusUnprocessableEntity || len(p.Errors) == 0 || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %d %v, want a pointer to %q", body, p.Status, p.Errors, pointer)
		}
	}
}

// FuzzCheckJSON holds the strict pass against encoding/json: it never accepts what that one refuses, what it accepts
// means the same when encoded again, and it answers with 400 and 422 only.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,"x",null,true,{"b":1e5}]}`, `{"a":1,"a":2}`, `"\ud800"`, `"\ud83d\ude00"`, `"\u0000"`, `1e999`,
		"\"\xff\"", `{} {}`, `[[[[`, ``, `{"\u0061":1,"a":2}`, `"\\u"`, `"\\\ud800"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := CheckJSON(body); err != nil {
			if p := problemOf(err); p.Status != http.StatusBadRequest && p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("%q: status %d", body, p.Status)
			}
			return
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil || !utf8.Valid(body) {
			t.Fatalf("%q was accepted: %v", body, err)
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("%q cannot be encoded again: %v", body, err)
		}
		if strings.ContainsRune(string(encoded), '\ufffd') && !strings.ContainsRune(string(body), '\ufffd') &&
			!strings.Contains(strings.ToLower(string(body)), `\ufffd`) {
			t.Fatalf("%q was repaired to %q", body, encoded)
		}
		if err := CheckJSON(encoded); err != nil {
			t.Fatalf("%q was accepted, its encoding %q was not: %v", body, encoded, err)
		}
	})
}
