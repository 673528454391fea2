package request_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// filled are the values of the tests; others replace or add to them.
func filled(others map[string]string) request.Values {
	return func(name string) (request.Value, bool) {
		if text, found := others[name]; found {
			return request.Value{Text: text}, true
		}
		known := map[string]request.Value{
			"version": {Text: "v2"}, "target.address": {Text: "http://10.0.0.1:8080/base/"}, "target.id": {Text: "web 1"},
			"attempt": {Text: "3", JSON: []byte("3")},
		}
		value, found := known[name]
		return value, found
	}
}

func ownBody() ([]byte, error) { return []byte(`{"own":true}`), nil }

func text(s string) *string { return &s }

func TestRender_FillsEachPlace(t *testing.T) {
	t.Parallel()
	others := map[string]string{"version": `v2/é"&x=1 ?#`, "labels.commit": "abc", "target.metadata.zone": "eu"}
	for name, c := range map[string]struct {
		request   request.Request
		url, body string
		headers   map[string]string
	}{
		"default body": {
			request: request.Request{Method: "POST", URL: "{target.address}/hooks/deploy?tag={version}"},
			url:     "http://10.0.0.1:8080/base/hooks/deploy?tag=v2%2F%C3%A9%22%26x%3D1%20%3F%23", body: `{"own":true}`,
			headers: map[string]string{"content-type": "application/json"},
		},
		"no body": {
			request: request.Request{Method: "GET", URL: "https://ci.example/{target.id}/x"}, url: "https://ci.example/web%201/x",
		},
		"json": {
			request: request.Request{
				Method: "PUT", URL: "https://ci.example:8443", Headers: map[string]secret.Secret{"X-Zone": "{target.metadata.zone}"},
				JSON: request.JSON(`{"a":["{version}",1.50,true,null],"attempt":"{attempt}","n":"no {attempt}","{version}":"{{}}"}`),
			},
			url:     "https://ci.example:8443",
			body:    `{"a":["v2/é\"&x=1 ?#",1.50,true,null],"attempt":3,"n":"no 3","{version}":"{}"}`,
			headers: map[string]string{"content-type": "application/json", "x-zone": "eu"},
		},
		"form": {
			request: request.Request{Method: "POST", URL: "{target.address}", Form: map[string]string{"b": "{version}", "a 1": "{labels.commit}"}},
			url:     "http://10.0.0.1:8080/base", body: "a%201=abc&b=v2%2F%C3%A9%22%26x%3D1%20%3F%23",
			headers: map[string]string{"content-type": "application/x-www-form-urlencoded"},
		},
		"text": {
			request: request.Request{
				Method: "POST", URL: "{target.address}?v={{{labels.commit}}}", Text: text("deploy {version}"),
				Headers: map[string]secret.Secret{"Content-Type": "text/x-deploy"},
			},
			url: "http://10.0.0.1:8080/base?v=%7Babc%7D", body: `deploy v2/é"&x=1 ?#`, headers: map[string]string{"content-type": "text/x-deploy"},
		},
	} {
		if found := c.request.Validate(request.TargetNames); found != nil {
			t.Errorf("%s is refused: %v", name, found)
		}
		got, err := c.request.Render(filled(others), ownBody)
		if err != nil || got.URL != c.url || string(got.Body) != c.body || len(got.Headers) != len(c.headers) {
			t.Errorf("%s: %v\n%s\n%s\n%d headers", name, err, got.URL, got.Body, len(got.Headers))
		}
		for header, value := range c.headers {
			if got.Headers[header].Reveal() != value {
				t.Errorf("%s: header %s is %q", name, header, got.Headers[header].Reveal())
			}
		}
	}
}

func TestRender_RefusesValuesThatWouldLeaveTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, header, version, pointer string
	}{
		{"{target.address}/{version}", "x", "..", "/url"},
		{"{target.address}/{version}/x", "x", ".", "/url"},
		{"{target.address}/{version}/x", "x", "a/../../b", "/url"},
		{"{target.address}/{version}/x", "x", `..\b`, "/url"},
		{"{target.address}/%2e{version}", "x", ".", "/url"},
		{"{target.address}/.{version}?q", "x", ".;a=b", "/url"},
		{"{target.address}/x", "{version}", "a\r\nX-Evil: 1", "/headers/X-Version"},
		{"{target.address}/x", "{version}", "a\x00", "/headers/X-Version"},
		{"{target.address}/x", "{labels.missing}", "v2", "/headers/X-Version"},
	} {
		r := request.Request{Method: "POST", URL: c.url, Headers: map[string]secret.Secret{"X-Version": secret.Secret(c.header)}}
		got, err := r.Render(filled(map[string]string{"version": c.version}), ownBody)
		var refused *request.Error
		if !errors.As(err, &refused) || refused.Pointer != c.pointer {
			t.Errorf("%q in %q: %v, %s", c.version, c.url, err, got.URL)
		}
	}
	r := request.Request{Method: "GET", URL: "{target.address}/x?path={version}"}
	if _, err := r.Render(filled(map[string]string{"version": ".."}), ownBody); err != nil {
		t.Errorf("a query has no segments: %v", err)
	}
}

func TestValidate_NamesEachFault(t *testing.T) {
	t.Parallel()
	for pointers, given := range map[string]string{
		"/url":                       `{"url":"{target.address}/{versions}"}`,
		"/url ":                      `{"url":"{target.address}:81/x"}`,
		"/url  ":                     `{"url":"{target.address}.evil.example/"}`,
		"/url   ":                    `{"url":"{target.address}@evil.example/"}`,
		"/url    ":                   `{"url":"{target.address}\\evil.example/"}`,
		"/url     ":                  `{"url":"https://{version}.example/"}`,
		"/url      ":                 `{"url":"{labels.scheme}://host/"}`,
		"/url       ":                `{"url":"https://host:{labels.port}/"}`,
		"/url        ":               `{"url":"//host/x"}`,
		"/url         ":              `{"url":"ftp://host/x"}`,
		"/url          ":             `{"url":"https://"}`,
		"/url           ":            `{"url":"https://host/a b"}`,
		"/url            ":           `{"url":"https://host/#{version}"}`,
		"/url             ":          `{"url":"https://host/%{version}"}`,
		"/url              ":         `{"url":"https://host/a/../b"}`,
		"/url               ":        `{"url":"https://host/%2E%2e/b"}`,
		"/url                ":       `{"url":"https://host/{version"}`,
		"/url                 ":      `{"url":"https://host/version}"}`,
		"/url                  ":     `{"url":"https://host/{}"}`,
		"/url                   ":    `{"url":"https://host/{target.metadata.}"}`,
		"/headers/Host":              `{"url":"https://host","headers":{"Host":"x"}}`,
		"/headers/content-length":    `{"url":"https://host","headers":{"content-length":"1"}}`,
		"/headers/Transfer-Encoding": `{"url":"https://host","headers":{"Transfer-Encoding":"chunked"}}`,
		"/headers/Webhook-Id":        `{"url":"https://host","headers":{"Webhook-Id":"1"}}`,
		"/headers/A B":               `{"url":"https://host","headers":{"A B":"1"}}`,
		"/headers/":                  `{"url":"https://host","headers":{"":"1"}}`,
		"/headers/X~1Y":              `{"url":"https://host","headers":{"X/Y":"1"}}`,
		"/headers/X":                 `{"url":"https://host","headers":{"X":"a\r\nb"}}`,
		"/headers/x":                 `{"url":"https://host","headers":{"X":"a","x":"b"}}`,
		"/headers/Y":                 `{"url":"https://host","headers":{"Y":"{secret}"}}`,
		"/form":                      `{"url":"https://host","json":1,"form":{}}`,
		"/text":                      `{"url":"https://host","form":{},"text":""}`,
		"/json/a/1/b~1c":             `{"url":"https://host","json":{"a":[1,{"b/c":"{nothing}"}]}}`,
		"/form/a":                    `{"url":"https://host","form":{"a":"{"}}`,
		"/text ":                     `{"url":"https://host","text":"}"}`,
		"/sign/header":               `{"url":"https://host","sign":{"type":"hmac","header":"Host"}}`,
		"/sign/header ":              `{"url":"https://host","headers":{"X-Sig":"1"},"sign":{"type":"hmac","header":"x-sig"}}`,
		"/sign/prefix":               `{"url":"https://host","sign":{"type":"hmac","header":"X-Sig","prefix":"a\nb"}}`,
	} {
		var r request.Request
		if err := json.Unmarshal([]byte(given), &r); err != nil {
			t.Fatal(err)
		}
		found := r.Validate(request.TargetNames)
		if len(found) != 1 || found[0].Pointer != strings.TrimSpace(pointers) && found[0].Pointer != pointers {
			t.Errorf("%s: %v", given, found)
		}
	}
}

func TestDone_JudgesTheValue(t *testing.T) {
	t.Parallel()
	done := request.Done{Type: request.DoneJSON, Pointer: "/status", Equals: []request.Scalar{"ok", "1"}, Fails: []request.Scalar{"error", "false"}}
	there := request.Done{Type: request.DoneJSON, Pointer: "/id"}
	for body, want := range map[string]request.Progress{
		`{"status":"ok"}`: request.Succeeded, `{"status":1}`: request.Succeeded, `{"status":"error"}`: request.Failed,
		`{"status":false}`: request.Failed, `{"status":"running"}`: request.Open, `{}`: request.Open, `Hook rules were not satisfied.`: request.Open,
		`{"status":{"ok":1}}`: request.Open, `{"status":"ok"} x`: request.Open, ``: request.Open,
	} {
		if got, why := done.Judge([]byte(body)); got != want || (got == request.Succeeded) != (why == "") {
			t.Errorf("%s: %v, %s", body, got, why)
		}
	}
	if got, _ := there.Judge([]byte(`{"id":null}`)); got != request.Succeeded {
		t.Errorf("a value that is there: %v", got)
	}
	if got, _ := there.Judge([]byte(`{"x":1}`)); got != request.Open {
		t.Errorf("a value that is not there: %v", got)
	}
}

func TestStatusIn_ReadsCodesAndRanges(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{200: true, 299: true, 300: false, 302: true, 199: false} {
		if request.StatusIn([]string{"200-299", "302"}, status) != want {
			t.Errorf("%d", status)
		}
	}
}
