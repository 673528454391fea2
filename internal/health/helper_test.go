package health

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func answer200(t *testing.T, contentType, body string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	})
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// unusedAddress is an address where nothing listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	_ = l.Close()
	return l.Addr().String()
}

func probe(t *testing.T, check healthcheck.Check, address string) healthcheck.ProbeResult {
	t.Helper()
	if check.Timeout == 0 {
		check.Timeout = duration.Duration(10 * time.Second)
	}
	return New(Config{}).Probe(t.Context(), check, address, nil)
}

func want(t *testing.T, got healthcheck.ProbeResult, status healthcheck.Health, message string) {
	t.Helper()
	if got.Status != status || !strings.Contains(got.Message, message) {
		t.Errorf("got %s %q, want %s with %q", got.Status, got.Message, status, message)
	}
}

func limit(v float64) *float64 { return &v }
