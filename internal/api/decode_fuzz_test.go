package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// FuzzRequestBody goes the whole way of a body, from bytes to a deployment: whatever it is, it is taken or refused as the
// caller's mistake, and what is taken has nothing that a database or a reader trips over.
func FuzzRequestBody(f *testing.F) {
	agreed, err := loadContract()
	if err != nil {
		f.Fatal(err)
	}
	schema := agreed.routes["POST /deployments"].Operation.RequestBody.Value
	for _, seed := range []string{
		`{"service":"a","version":"v","targets":[{"id":"x","address":"http://h:1/p","metadata":{"a":[1]}}]}`,
		`{"service":"a","version":"v","deploy":{"secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZg==","retries":1.0}}`,
		`{"service":"a","version":"v","health_checks":[{"type":"http","headers":{"A":"b"},"expected_status":["200-299"]}]}`,
		`{"service":"a","version":"v","traffic":{"type":"haproxy","socket":"unix:/a","backend":"b"},"tls":{"ca":"x"},"strategy":{"type":"canary"}}`,
		`{"service":"a","version":"v","targets":[{"id":"x","address":"http://h:1"}],"deploy":{"request":{"url":"{target.address}/{version}","json":{"a":["{fence}"]},"sign":{"type":"hmac","header":"X"}},"done":{"type":"json","pointer":"/a","equals":[1,"b"]}}}`,
		`{"service":"a","version":"v","targets":[{"id":"x","address":"http://h:1"}],"deploy":{"preset":"watchtower","params":{"token":"t"}}}`,
		`{"service":"a","version":"\u202e"}`, `{"service":"a","service":"b"}`, `null`, `[`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/deployments", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if _, err := checkBody(httptest.NewRecorder(), r, schema); err != nil {
			wantCallersFault(t, body, err)
			return
		}
		var request types.DeploymentRequest
		if err := json.Unmarshal(body, &request); err != nil {
			wantCallersFault(t, body, decodingError(err))
			return
		}
		d, targets, err := readAll(t, &request)
		if err != nil {
			wantCallersFault(t, body, err)
			return
		}
		wantStorable(t, body, d, targets)
	})
}

func readAll(t *testing.T, body *types.DeploymentRequest) (rollout.Deployment, []rollout.Target, error) {
	t.Helper()
	q := request{body: body, checkAddress: func(string) error { return nil }}
	q.parseBody(t.Context())
	q.setDeployURLs()
	return q.deployment, q.targets, q.err()
}

func wantCallersFault(t *testing.T, body []byte, err error) {
	t.Helper()
	w := httptest.NewRecorder()
	httpkit.WriteError(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), err, slog.New(slog.DiscardHandler))
	if w.Code < 400 || w.Code >= 500 {
		t.Fatalf("%q: status %d: %v", body, w.Code, err)
	}
}

func wantStorable(t *testing.T, body []byte, stored ...any) {
	t.Helper()
	encoded, err := json.Marshal(stored)
	if err != nil || bytes.Contains(encoded, []byte(`\u0000`)) && !bytes.Contains(body, []byte(`\\u0000`)) {
		t.Fatalf("%q became %s, %v", body, encoded, err)
	}
	if strings.ContainsFunc(string(encoded), httpkit.IsDeceptive) {
		t.Fatalf("%q deceives", body)
	}
}

// FuzzURL holds what is taken for an address against what a client makes of it.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"http://h", "HTTPS://H:443/a/", "http://[::1]:80", "http://u@h", "http://h#", "http://h:0", "//h", "http://h\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, detail := parseURL(raw)
		if (u == nil) == (detail == "") {
			t.Fatalf("%q: %v %q", raw, u, detail)
		}
		if u == nil {
			return
		}
		canonical := rollout.CanonicalAddress(raw)
		if _, detail := parseURL(canonical); detail != "" || rollout.CanonicalAddress(canonical) != canonical {
			t.Fatalf("%q: %q is no canonical form: %q", raw, canonical, detail)
		}
		if _, err := http.NewRequestWithContext(t.Context(), http.MethodPost, raw, nil); err != nil {
			t.Fatalf("%q was taken, and cannot be called: %v", raw, err)
		}
	})
}

// FuzzPreconditions: no header makes two different revisions the one that was meant, unless it says any.
func FuzzPreconditions(f *testing.F) {
	for _, seed := range []string{`"1"`, `W/"1"`, `*`, `"1", "2"`, `"`, `1`, ``, `"01"`, `"99999999999999999999"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		demand, err := httpkit.NewPrecondition(&header, nil)
		if err != nil {
			wantCallersFault(t, []byte(header), err)
			return
		}
		matched := 0
		for revision := range int64(3) {
			if checkDeployment(demand, &rollout.Deployment{Revision: revision + 1}) == nil {
				matched++
			}
		}
		if matched > 1 && !strings.ContainsAny(header, "*,") && header != "" {
			t.Fatalf("%q is met by %d revisions", header, matched)
		}
	})
}

// FuzzSource: what is taken for a repository is one of the ways in which git is let out, with a plain host, or it is refused
// at a field.
func FuzzSource(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://h/x", "main"}, {"git@h:x", "a/b"}, {"ssh://u:p@h/x", "-x"}, {"file:///x", "a..b"}, {"ext::sh", "a.lock"}, {"https://0x7f.1/x", "@"}, {"https://h./x", "\u202e"},
	} {
		f.Add(seed[0], seed[1], "deploy", "30s")
	}
	f.Fuzz(func(t *testing.T, address, branch, path, interval string) {
		if branch == "" {
			return // the contract wants one character
		}
		q := sourceRequest{
			body:    &types.GitSourceRequest{URL: address, Branch: &branch, Path: &path, Interval: &interval},
			remotes: Remotes{}, checkAddress: func(string) error { return nil },
		}
		s := q.readFields()
		if q.err() != nil {
			wantCallersFault(t, []byte(address), q.err())
			return
		}
		u, err := url.Parse(s.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "ssh" || strings.HasSuffix(u.Hostname(), ".") || strings.HasPrefix(s.Branch, "-") || strings.HasPrefix(s.Path, "-") {
			t.Fatalf("%q is taken as %+v", address, s)
		}
	})
}

// FuzzWindow: a window is within its bounds, or refused.
func FuzzWindow(f *testing.F) {
	for _, seed := range []string{"24h", "30d", "1e9d", "-1d", "65536d", "d", "99999999h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var found findings
		if window := found.parseWindow(&text, "/window"); found.err() == nil && (window < minWindow || window > maxWindow) {
			t.Fatalf("%q is %v", text, window)
		}
	})
}

// FuzzLastEvent: an id to begin after is a number, or there is none.
func FuzzLastEvent(f *testing.F) {
	for _, seed := range []string{"7", "-1", "99999999999999999999", "x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if at := resumeAt(&id, nil); at != nil && strings.TrimLeft(strings.TrimLeft(id, "+-"), "0") != strings.TrimLeft(strings.TrimPrefix(strconv.FormatInt(*at, 10), "-"), "0") {
			t.Fatalf("%q is %d", id, *at)
		}
	})
}

// FuzzNotification: what is taken for a receiver has a url without a user, and keys and a token that can be sent; everything
// else is refused at a field, and nothing that is said repeats a secret.
func FuzzNotification(f *testing.F) {
	for _, seed := range [][4]string{
		{"webhook", "https://h/x", `"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, ""},
		{"slack", "http://u:p@h", "null", "null"},
		{"github", "https://api.github.com/repos/o/n", "", `"ghp_x"`},
		{"github", "https://h/repos//n?x", "1", `"\u0000"`},
		{"cdevents", "://", `"whsec_"`, `{}`},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]), []byte(seed[3]))
	}
	f.Fuzz(func(t *testing.T, kind, address string, signing, token []byte) {
		if len(notification.Kind(kind).States()) == 0 || len(signing) > 0 && !json.Valid(signing) || len(token) > 0 && !json.Valid(token) {
			return // the contract and the strict reading come first
		}
		q := notificationRequest{
			body:         &types.NotificationRequest{Kind: types.NotificationKind(kind), URL: &address, Secret: signing, Token: token},
			checkAddress: func(string) error { return nil },
		}
		n := q.readNotification()
		if q.err() != nil {
			wantCallersFault(t, []byte(address), q.err())
			return
		}
		u, err := url.Parse(n.Secrets.URL.Reveal())
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Host == "" {
			t.Fatalf("%q is taken for a receiver", address)
		}
		if _, err := secret.SigningKeys(n.Secrets.Signing); n.Secrets.Signing != "" && err != nil || strings.ContainsAny(n.Secrets.Token.Reveal(), "\r\n\x00 ") {
			t.Fatalf("%q and %q are taken for a key and a token", signing, token)
		}
	})
}
