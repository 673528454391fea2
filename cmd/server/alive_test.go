package main

import (
	"net"
	"net/http"
	"testing"
)

func TestHealthcheck_AsksServerAtAddress(t *testing.T) {
	t.Parallel()
	address := listening(t, nil)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{address, ":" + port, "0.0.0.0:" + port, "localhost:" + port} {
		if err := checkAlive(t.Context(), addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestHealthcheck_FailsWithoutGoodAnswer(t *testing.T) {
	t.Parallel()
	broken := listening(t, func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, addr := range map[string]string{"an error": broken, "nothing": closed.Addr().String(), "no address": "8080"} {
		if err := checkAlive(t.Context(), addr); err == nil {
			t.Errorf("%s counts as alive", name)
		}
	}
}
