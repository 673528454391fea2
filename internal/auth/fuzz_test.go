package auth

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// FuzzCredential: whatever stands in the header is one credential of bounded length, or none; what is worth a question to the
// database has the form of a token.
func FuzzCredential(f *testing.F) {
	for _, seed := range []string{"Bearer rct_" + strings.Repeat("A", 43), "bearer x", "Basic x", "Bearer", "Bearer  ", "Bearer a.b.c", "Bearer eyJ9.e30.x", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		given, err := bearerToken(http.Header{"Authorization": {header}})
		if err != nil {
			return
		}
		if given == "" || len(given) > maxCredential {
			t.Fatalf("%q is the credential %q", header, given)
		}
		if isToken(given) && (len(given) != len(newToken().Reveal()) || !strings.HasPrefix(given, prefix)) {
			t.Fatalf("%q has the form of a token", given)
		}
		if issuer := claimedIssuer(given); issuer != "" && strings.Count(given, ".") != 2 {
			t.Fatalf("%q has the issuer %q", given, issuer)
		}
	})
}

// FuzzLoopback: only this machine is taken for this machine.
func FuzzLoopback(f *testing.F) {
	for _, seed := range []string{"localhost:8080", "127.0.0.1", "[::1]:1", "[", "]", "[]", "127.0.0.1.evil.example", "localhost.evil.example", "::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !loopbackHost(host) {
			return
		}
		name := strings.Trim(host[:max(strings.LastIndexByte(host, ':'), 0)], "[]")
		for _, said := range []string{name, strings.Trim(host, "[]")} {
			if ip, err := netip.ParseAddr(said); said == "localhost" || err == nil && ip.IsLoopback() {
				return
			}
		}
		t.Fatalf("%q is taken for this machine", host)
	})
}

// FuzzClaims: whatever a CI system signs, a rule fits only when its claim is there as it is named.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{"repository":"acme"}`, `{"repository":["x","acme"]}`, `{"repository":[["acme"]]}`, `{"repository":7}`, `[]`, `{"Repository":"acme"}`} {
		f.Add([]byte(seed))
	}
	rules := []Rule{{Claims: map[string]Values{"repository": {"acme"}}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		var claims map[string]any
		if json.Unmarshal(text, &claims) != nil {
			return
		}
		if _, fits := firstMatchingRule(rules, claims); !fits {
			return
		}
		list, _ := claims["repository"].([]any)
		if claims["repository"] != "acme" && !slices.Contains(list, any("acme")) {
			t.Fatalf("%s fits", text)
		}
	})
}
