package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzNext: however it is written, where people are sent after signing in is a path of this dashboard.
func FuzzNext(f *testing.F) {
	for _, seed := range []string{root + "/x", "//evil.example" + root + "/", "/\\evil.example", "https:" + root + "/x", root + "/../..//evil.example", "%2f%2fevil.example", root + "/%0d%0aSet-Cookie:x", "/" + root + "/"} {
		f.Add(seed)
	}
	here := &url.URL{Scheme: "http", Host: "rollcall.example", Path: "/sign-in"}
	f.Fuzz(func(t *testing.T, next string) {
		to := localPath(next)
		u, err := here.Parse(to)
		if err != nil || u.Host != here.Host || u.Scheme != here.Scheme || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\\") {
			t.Fatalf("%q leads to %q (%v)", next, to, err)
		}
	})
}

// FuzzCookie: what a browser brings becomes at most one header, and none of the headers that it sent for itself.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"cmN0X3g", "", "\xff", "YQ0KYjogYw", "=", "a b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header["Cookie"] = []string{tokenCookie + "=" + value}
		r.Header.Set("Authorization", "Bearer its-own")
		asked := withBearer(r)
		if given := asked.Header.Values("Authorization"); len(given) > 1 || len(given) == 1 && given[0] != "Bearer "+cookieToken(r) || asked.Header.Get("Cookie") != "" {
			t.Fatalf("%q became %q", value, asked.Header)
		}
	})
}

// FuzzDay: a date is read as it is written, or not at all.
func FuzzDay(f *testing.F) {
	for _, seed := range []string{"2026-05-01", "2026-02-30", "", "0000-00-00", "99999-01-01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if day := parseDay(text); !day.IsZero() && day.Format(time.DateOnly) != text {
			t.Fatalf("%q is %v", text, day)
		}
	})
}

// FuzzParameter: whatever is filled in for a parameter, the request that is made of it is JSON.
func FuzzParameter(f *testing.F) {
	for _, seed := range [][2]string{
		{"list of stages", "10, 50, 100"},
		{"list of stages", `[10,{"percent":50}]`},
		{"number or percent", "25%"},
		{"integer", "1e400"},
		{"integer", "NaN"},
		{"duration", "30s"},
		{"boolean", "true"},
		{"string", "\xff\x00"},
		{"list", "{,"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, kind, value string) {
		p := parameter{Type: kind, Value: value}
		if _, err := json.Marshal(p.jsonValue()); err != nil {
			t.Fatalf("%q for a %q: %v", value, kind, err)
		}
	})
}
