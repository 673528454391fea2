package manifest

import (
	"strings"
	"testing"
)

func TestYAML_BecomesEquivalentJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: 1\nb: [x, 2.5, true, null, ~]":        `{"a":1,"b":["x",2.5,true,null,null]}`,
		"on: yes\nversion: \"1.10\"":              `{"on":"yes","version":"1.10"}`,
		"v: 2024-01-02":                           `{"v":"2024-01-02"}`,
		"v: |\n  a\n  b\n":                        `{"v":"a\nb\n"}`,
		"v: !!str 12":                             `{"v":"12"}`,
		"{\"json\": [1, {\"is\": \"yaml\"}]}":     `{"json":[1,{"is":"yaml"}]}`,
		"# a comment\nz: 1 # more\na: {b: c}\n":   `{"a":{"b":"c"},"z":1}`,
		"\xef\xbb\xbfa: 1":                        `{"a":1}`,
		"---\na: 1\n...\n":                        `{"a":1}`,
		"a: 0x10":                                 `{"a":16}`,
		"service: checkout\nversion: v2\nx: '\\'": `{"service":"checkout","version":"v2","x":"\\"}`,
	} {
		doc, problem := readYAML([]byte(text))
		if problem != nil || string(doc.JSON) != want {
			t.Errorf("%q becomes %v (%+v), want %s", text, doc, problem, want)
		}
	}
}

func TestYAML_AmbiguousIsRefusedByLine(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for _, c := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
		before := string(c[0] - 1)
		bomb += c + ": &" + c + " [" + strings.Repeat("*"+before+",", 8) + "*" + before + "]\n"
	}
	for name, c := range map[string]struct {
		text    string
		line    int
		pointer string
		detail  string
	}{
		"a bomb of aliases":       {bomb, 1, "/a", "anchor"},
		"an alias":                {"a: 1\nb: *x", 0, "", "not YAML"},
		"a merge":                 {"a: 1\nb:\n  <<: {c: 1}", 3, "/b", "name"},
		"a field twice":           {"a: 1\nb:\n  c: 1\n  c: 2", 4, "/b/c", "more than once"},
		"a field twice, escaped":  {"\"a\": 1\n\"\\x61\": 2", 2, "/a", "more than once"},
		"a NUL":                   {"a: 1\nb: x\x00y", 2, "", "NUL"},
		"an escaped NUL":          {"a: 1\nb: \"x\\0y\"", 2, "/b", "NUL"},
		"two documents":           {"a: 1\n---\nb: 2", 2, "", "second document"},
		"nothing":                 {"", 0, "", "empty"},
		"only a comment":          {"# hello", 0, "", "empty"},
		"a list":                  {"- a", 1, "", "mapping"},
		"a word":                  {"hello", 1, "", "mapping"},
		"bad syntax":              {"a: 1\nb: [1, 2\nc: 3", 0, "", "not YAML"},
		"no UTF-8":                {"a: \xff\xfe", 0, "", "UTF-8"},
		"not a number":            {"a: .nan", 1, "/a", "number"},
		"a number without bounds": {"a: 99999999999999999999999", 1, "/a", ""},
		"a tag":                   {"a: !!python/object:os.system x", 1, "/a", "tag"},
		"a binary":                {"a: !!binary aGk=", 1, "/a", "tag"},
		"a set":                   {"a: !!set {x: null}", 1, "/a", "tag"},
		"a list as name":          {"? [a]\n: b", 1, "", "name"},
		"too deep":                {strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40), 1, "", "deeper"},
		"far too deep":            {strings.Repeat("[", 500_000), 0, "", "not YAML"},
		"too large":               {"a: " + strings.Repeat("x", 10<<20), 0, "", "larger"},
	} {
		doc, problem := readYAML([]byte(c.text))
		if problem == nil {
			if c.detail == "" {
				continue // a large number is a float elsewhere, too
			}
			t.Errorf("%s was let through as %s", name, doc.JSON)
			continue
		}
		if !strings.Contains(problem.Detail, c.detail) || problem.Pointer != c.pointer || c.line != 0 && problem.Line != c.line {
			t.Errorf("%s: %+v, want line %d, pointer %q and text about %q", name, problem, c.line, c.pointer, c.detail)
		}
	}
}

func TestYAML_PointerFindsLineOrParentLine(t *testing.T) {
	t.Parallel()
	doc, problem := readYAML([]byte("service: x\ntargets:\n  - id: a\n    address: b\n  -\n    id: c\nno~w/ay: 1\n"))
	if problem != nil {
		t.Fatal(problem)
	}
	for pointer, line := range map[string]int{
		"/service": 1, "/targets": 2, "/targets/0/address": 4, "/targets/1/id": 6, "/targets/1/address": 6, "/version": 1, "": 1,
		"/no~0w~1ay": 7,
	} {
		if got := doc.lineOf(pointer); got != line {
			t.Errorf("%s is on line %d, not %d", pointer, line, got)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"a: 1", "a: &x [*x]", "{a: [1, {b: c}]}", "a: !!int x", "? a\n: b", "a: |\n x\n", "\x00", "a: \"\\ud800\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, problem := readYAML(text)
		if (doc == nil) == (problem == nil) {
			t.Fatalf("document %v, problem %v", doc, problem)
		}
		if doc != nil && len(doc.JSON) == 0 {
			t.Fatal("no JSON")
		}
	})
}
