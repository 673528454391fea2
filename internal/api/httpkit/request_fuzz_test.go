package httpkit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func wantCallersFault(t *testing.T, input string, err error) {
	t.Helper()
	if p := problemOf(err); p.Status < 400 || p.Status >= 500 {
		t.Fatalf("%q: status %d: %v", input, p.Status, err)
	}
}

// FuzzQuery: a query is read or refused, and no parameter has two values.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=1&a=2", "%zz", "a=%00", "a=%e2%80%ae", "%ff=1", ";"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := ReadQuery(raw)
		if err != nil {
			wantCallersFault(t, raw, err)
		}
		for name, values := range query {
			if len(values) != 1 || strings.ContainsFunc(values[0], IsDeceptive) {
				t.Fatalf("%q: %q is %q", raw, name, values)
			}
		}
	})
}

// FuzzAccept: a stream is for who names it.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"text/event-stream", "application/json, text/event-stream;q=0.5", "text/event-stream2", ",,;", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header["Accept"] = []string{accept}
		NegotiateStream(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if WantsStream(r.Context()) && !strings.Contains(strings.ToLower(accept), EventStream) {
				t.Fatalf("%q wants a stream", accept)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	})
}

// FuzzContentType: a body is JSON in UTF-8, or refused as the caller's mistake.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{"application/json", "application/json; charset=latin1", "text/plain", "", ";", "\xff/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, kind string) {
		if err := RequireJSON(http.Header{"Content-Type": {kind}}); err == nil && !strings.Contains(strings.ToLower(kind), "json") {
			t.Fatalf("%q is taken for JSON", kind)
		}
	})
}
