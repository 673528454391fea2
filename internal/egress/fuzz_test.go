package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// FuzzRetryAfter: no answer makes a call wait longer than a minute, or less than not at all.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "-1", "99999999999999999999", "Fri, 01 May 2026 12:00:09 GMT", "1e9", "\xff"} {
		f.Add(seed)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if wait := retryAfter(header, now); wait < 0 || wait > maxRetryAfter {
			t.Fatalf("%q: %v", header, wait)
		}
	})
}

// FuzzSanitize: what others say is shown as one short line that can be printed.
func FuzzSanitize(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "\x1b[31m", "\u202e", "\xff\xfe", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := Sanitize(text)
		if utf8.RuneCountInString(line) > maxSanitized || !utf8.ValidString(line) {
			t.Fatalf("%q became %q", text, line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q became %q", text, line)
			}
		}
	})
}

// FuzzTrust: what is trusted can be used, or is refused without a word of the key; nothing makes the check of the other side
// go away.
func FuzzTrust(f *testing.F) {
	for _, seed := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "-----BEGIN RSA PRIVATE KEY-----\nsecret\n-----END RSA PRIVATE KEY-----"} {
		f.Add(seed, seed, seed)
	}
	client := New(Config{})
	f.Fuzz(func(t *testing.T, ca, certificate, key string) {
		config, err := client.TLS(&rollout.TLS{CA: ca, ClientCert: certificate, ClientKey: secret.Secret(key)})
		switch {
		case err != nil && len(key) > 30 && strings.Contains(err.Error(), key):
			t.Fatalf("the key is shown: %v", err)
		case err == nil && (config.InsecureSkipVerify || config.MinVersion < tls.VersionTLS12 || ca != "" && config.RootCAs == nil):
			t.Fatalf("%q makes %+v", ca, config)
		}
	})
}

// FuzzExchange: whatever a server sends, the exchange ends when the server has ended, and reads no more than its bounds.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 000 \r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		client := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					_, _ = theirs.Write(sent)
				}
			}()
			return ours, nil
		}})
		got := client.Send(t.Context(), Request{URL: "http://web/"})
		if len(got.Body) > MaxBody || got.Status == 0 && got.Failure.Kind != rollout.ResultUnknown {
			t.Fatalf("%q became %d bytes, %+v", sent, len(got.Body), got.Failure)
		}
	})
}
