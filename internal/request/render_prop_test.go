package request_test

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"pgregory.net/rapid"

	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// checkPlaces renders a value into every place, and requires that what a receiver reads there is the value, and that all around
// it is as it was written.
func checkPlaces(t interface{ Fatalf(string, ...any) }, value string) {
	values := filled(map[string]string{"version": value})
	fill := func(r request.Request) (request.Rendered, bool) {
		got, err := r.Render(values, ownBody)
		return got, err == nil
	}
	if got, ok := fill(request.Request{Method: "GET", URL: "https://host:8443/a/{version}/b?x=1&v={version}&y=2"}); ok {
		u, err := url.Parse(got.URL)
		if err != nil || u.Host != "host:8443" || u.User != nil || u.Fragment != "" || u.Path != "/a/"+value+"/b" || strings.Count(u.EscapedPath(), "/") != 3 {
			t.Fatalf("%q left its segment: %s", value, got.URL)
		}
		if query := u.Query(); !reflect.DeepEqual(query, url.Values{"x": {"1"}, "v": {value}, "y": {"2"}}) {
			t.Fatalf("%q left its place in the query: %s", value, got.URL)
		}
		for _, segment := range strings.Split(u.Path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q makes a path that climbs: %s", value, got.URL)
			}
		}
	}
	got, _ := fill(request.Request{Method: "POST", URL: "https://host", Form: map[string]string{"a": "<{version}>", "b": "1"}})
	if form, err := url.ParseQuery(string(got.Body)); err != nil || !reflect.DeepEqual(form, url.Values{"a": {"<" + value + ">"}, "b": {"1"}}) {
		t.Fatalf("%q left its field: %s", value, got.Body)
	}
	got, _ = fill(request.Request{Method: "POST", URL: "https://host", JSON: request.JSON(`{"a":"{version}","b":["x{version}"],"c":1}`)})
	var body any
	valid := strings.ToValidUTF8(value, "\ufffd")
	if err := json.Unmarshal(got.Body, &body); err != nil || valid == value &&
		!reflect.DeepEqual(body, map[string]any{"a": value, "b": []any{"x" + value}, "c": 1.0}) {
		t.Fatalf("%q left its string: %s", value, got.Body)
	}
	if got, ok := fill(request.Request{Method: "POST", URL: "https://host", Headers: map[string]secret.Secret{"X-V": "a {version}"}}); ok {
		if !httpguts.ValidHeaderFieldValue(got.Headers["x-v"].Reveal()) {
			t.Fatalf("%q left its header", value)
		}
	}
}

func TestRender_NoValueLeavesItsPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		checkPlaces(rt, rapid.OneOf(
			rapid.String(), rapid.StringMatching(`[./\\%2eE;?#&={}"' \r\n]{0,12}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Draw(rt, "value"))
	})
}

func TestRender_ValidRequestIsRendered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		place := rapid.StringMatching(`([a-z/{}.%]|\{version\}|\{target\.id\}|\{\{|\}\}){0,8}`)
		body := place.Draw(rt, "text")
		r := request.Request{
			Method: "POST", URL: "{target.address}/" + place.Draw(rt, "path"), Text: &body,
			Headers: map[string]secret.Secret{"X-A": secret.Secret(place.Draw(rt, "header"))},
		}
		found := r.Validate(request.TargetNames)
		got, err := r.Render(filled(nil), ownBody)
		if len(found) == 0 && err != nil && !climbs(err) {
			rt.Fatalf("valid, but %v: %+v", err, r)
		}
		if err == nil && !strings.HasPrefix(got.URL, "http://10.0.0.1:8080/base/") {
			rt.Fatalf("%s goes elsewhere", got.URL)
		}
	})
}

// climbs reports whether the values made a segment that climbs.
func climbs(err error) bool { return err != nil && strings.Contains(err.Error(), "segment") }

// FuzzRender: whatever a request says, it is refused or stays at its host; a value never leaves its place.
func FuzzRender(f *testing.F) {
	f.Add(`{"method":"POST","url":"{target.address}/{version}","json":{"a":"{version}"}}`, "v2")
	f.Add(`{"method":"GET","url":"https://host/{version}?a={version}","headers":{"A":"{version}"}}`, "..")
	f.Add(`{"url":"https://host/{{}}","form":{"a":"{version}"}}`, "a&b=c")
	f.Add(`{"url":"{target.address}?x","text":"{version}"}`, "\r\n")
	f.Fuzz(func(t *testing.T, given, value string) {
		checkPlaces(t, value)
		var r request.Request
		if json.Unmarshal([]byte(given), &r) != nil {
			return
		}
		again, err := json.Marshal(r.JSON)
		var same request.JSON
		if err != nil || len(r.JSON) > 0 && (json.Unmarshal(again, &same) != nil || string(same) != string(r.JSON)) {
			t.Fatalf("%s is respelled as %s", r.JSON, same)
		}
		if len(r.Validate(request.TargetNames)) > 0 {
			return
		}
		got, err := r.Render(filled(map[string]string{"version": value}), ownBody)
		if err != nil {
			return
		}
		base, _, _ := strings.Cut(strings.SplitN(got.URL+"/", "://", 2)[1], "/")
		host, _, _ := strings.Cut(base, "?")
		if !strings.Contains(r.URL, host) && host != "10.0.0.1:8080" {
			t.Fatalf("%s became %s", r.URL, got.URL)
		}
		if len(r.JSON) > 0 && !json.Valid(got.Body) {
			t.Fatalf("%s became %s", r.JSON, got.Body)
		}
	})
}

// FuzzStatusIn: a status is found only in a list that names it, and no list makes it panic.
func FuzzStatusIn(f *testing.F) {
	f.Add("200-299", 204)
	f.Add("-", 0)
	f.Fuzz(func(t *testing.T, item string, status int) {
		if request.StatusIn([]string{item}, status) && !strings.ContainsAny(item, "0123456789") {
			t.Fatalf("%d is found in %q", status, item)
		}
	})
}
