package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listening is a server as the API's listener is one, with what change says.
func listening(t *testing.T, change func(*http.Server)) (address string) {
	t.Helper()
	s := &server{log: slog.New(slog.DiscardHandler)}
	h := s.newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "fine")
	}))
	if change != nil {
		change(h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go h.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { _ = h.Close() })
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestListener_RejectsHugeHeaders(t *testing.T) {
	t.Parallel()
	address := listening(t, nil)
	for size, want := range map[int]int{maxHeaderBytes / 2: http.StatusOK, 2 * maxHeaderBytes: http.StatusRequestHeaderFieldsTooLarge} {
		conn := dial(t, address)
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("headers of %d bytes: %d, want %d", size, answer.StatusCode, want)
		}
	}
}

// Each of the four timeouts is made short in turn; the others stay what they are, so that only that one can end the wait.
func TestListener_TimeoutsEndSlowConnections(t *testing.T) {
	t.Parallel()
	const short = 100 * time.Millisecond
	for name, c := range map[string]struct {
		shorten func(*http.Server)
		sends   string
	}{
		"headers that never end": {func(h *http.Server) { h.ReadHeaderTimeout = short }, "GET / HTTP/1.1\r\nHost: x\r\n"},
		"a body that never ends": {func(h *http.Server) { h.ReadTimeout = short }, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"},
		"an idle connection":     {func(h *http.Server) { h.IdleTimeout = short }, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		"an answer that is not read": {func(h *http.Server) {
			h.WriteTimeout = short
			h.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for block := make([]byte, 64<<10); ; {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			})
		}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, listening(t, c.shorten))
			if _, err := io.WriteString(conn, c.sends); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "i/o timeout") {
				t.Errorf("the server never hung up: %v", err)
			}
		})
	}
}

func TestListener_HasAllTimeoutsAndLimits(t *testing.T) {
	t.Parallel()
	h := (&server{log: slog.New(slog.DiscardHandler)}).newHTTPServer(http.NotFoundHandler())
	for name, bound := range map[string]time.Duration{
		"read header": h.ReadHeaderTimeout, "read": h.ReadTimeout, "write": h.WriteTimeout, "idle": h.IdleTimeout,
	} {
		if bound <= 0 || bound > 2*time.Minute {
			t.Errorf("the %s timeout is %v", name, bound)
		}
	}
	if h.MaxHeaderBytes <= 0 || h.MaxHeaderBytes > 1<<20 {
		t.Errorf("headers may have %d bytes", h.MaxHeaderBytes)
	}
}

// What is not JSON is lost where logs are collected.
func TestListener_ErrorsAreLogLines(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := &server{log: slog.New(slog.NewJSONHandler(&log, nil))}
	h := s.newHTTPServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug\nof two lines") }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = h.Serve(l) }()
	conn := dial(t, l.Addr().String())
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn) // it is hung up on
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	<-served
	var line struct{ Level, Msg string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "WARN" || !strings.Contains(line.Msg, "a bug") {
		t.Errorf("%v: %s", err, log.String())
	}
}

func TestConfig_KeysAreNeverQuoted(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	made, err := (&Config{StateDir: state}).secretKeys()
	if err != nil || len(made) != 1 {
		t.Fatalf("a server with a private Postgres makes no key: %v", err)
	}
	if again, err := (&Config{StateDir: state}).secretKeys(); err != nil || again[0] != made[0] {
		t.Errorf("it makes another at the next start: %v %v", again, err)
	}
	if none, err := (&Config{StateDir: t.TempDir(), DatabaseURL: "postgres://x"}).secretKeys(); err != nil || none != nil {
		t.Errorf("a key is made for a database that others may use: %v %v", none, err)
	}
	for _, bad := range []Config{
		{SecretKey: "hunter2"},
		{SecretKey: made[0].Text(), SecretKeyFile: state + "/" + keyFile},
		{SecretKeyFile: state},
		{SecretKeyFile: state + "/none"},
		{SecretKey: made[0].Text() + " " + made[0].Text()},
	} {
		if _, err := bad.openKeyring(); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), made[0].Text()) {
			t.Errorf("%v", err)
		}
	}
}

func TestConfig_SigningSecretIsOneKeyOrTwo(t *testing.T) {
	t.Parallel()
	const one, two = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for given, want := range map[string]string{"": "", one: one, one + "," + two: one + " " + two, one + ", " + two: one + " " + two} {
		if got, err := checkSigningSecrets(given); err != nil || got.Reveal() != want {
			t.Errorf("%q: %q, %v", given, got.Reveal(), err)
		}
	}
	for _, bad := range []string{"hunter2", one + "," + two + "," + one} {
		if _, err := checkSigningSecrets(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestConfig_RetainIsZeroOrAtLeastADay(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]time.Duration{"0": 0, "24h": 24 * time.Hour, "90d": 90 * 24 * time.Hour} {
		c := Config{Retain: given}
		if err := c.completeRetain(); err != nil || c.retain != want {
			t.Errorf("%s: %v, %v", given, c.retain, err)
		}
	}
	for _, bad := range []string{"23h", "-90d", "-48h", "soon", "90", "", "99999999d"} {
		if err := (&Config{Retain: bad}).completeRetain(); err == nil || !strings.Contains(err.Error(), "--retain") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
