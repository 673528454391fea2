package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

// serveRaw answers each connection, once its request was read, as reply does.
func serveRaw(t *testing.T, reply func(net.Conn, *http.Request)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					reply(conn, req)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestExchange_SkipsInterimResponses(t *testing.T) {
	t.Parallel()
	url := serveRaw(t, func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
	})
	want(t, post(t, Config{}, Webhook{URL: url}), rollout.ResultDone, "HTTP 200: done")
}

// A response must not hold a call for as long as its sender likes to send headers.
func TestExchange_LimitsHeadersOfAllResponses(t *testing.T) {
	t.Parallel()
	url := serveRaw(t, func(c net.Conn, _ *http.Request) {
		for hint := "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 1000) + "\r\n\r\n"; ; {
			if _, err := io.WriteString(c, hint); err != nil {
				return
			}
		}
	})
	want(t, post(t, Config{}, Webhook{URL: url}), rollout.ResultUnknown, "larger than 64 KiB")
}

// A receiver may reject a request before it has read it whole, and close the connection.
func TestExchange_ReadsRejectionBeforeWholeRequest(t *testing.T) {
	t.Parallel()
	url := serveRaw(t, func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	large := strings.Repeat("x", 8<<20)
	want(t, post(t, Config{}, Webhook{URL: url, Body: large}), rollout.ResultRefused, "HTTP 413")
}

func TestExchange_CancelEndsReadingOfBody(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // the client's hanging up ends this
	}))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := New(Config{}).Do(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, half); err != nil || string(half) != "half" {
		t.Fatalf("%q, %v", half, err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); err == nil || ErrorText(ctx, err, time.Now()) != "given up" {
		t.Errorf("read after the cancellation: %v", err)
	}
	_ = resp.Body.Close()
	if _, err := resp.Body.Read(half); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after Close: %v", err)
	}
}

func TestExchange_InvalidHeaderIsNotSent(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"X-Value": "a\r\nInjected: b", "X Name": "a", "": "a"} {
		failure := New(Config{}).Send(t.Context(), Request{URL: "http://127.0.0.1:1", Header: http.Header{name: {value}}}).Failure
		want(t, failure, rollout.ResultNotSent, "header")
	}
}

// A name is asked for in ASCII, as net/http does; the guard has judged it as that.
func TestConnect_InternationalNameIsDialledInASCII(t *testing.T) {
	t.Parallel()
	var dialled []string
	c := Config{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("not allowed")
	}}
	for _, url := range []string{"http://b\u00fccher.example/", "https://b\u00fccher.example/", "http://[fe80::1%25eth0]/", "https://web:8443/"} {
		want(t, post(t, c, Webhook{URL: url}), rollout.ResultNotSent, "not allowed")
	}
	const all = "xn--bcher-kva.example:80 xn--bcher-kva.example:443 [fe80::1%eth0]:80 web:8443"
	if got := strings.Join(dialled, " "); got != all {
		t.Errorf("dialled %s", got)
	}
}

// BenchmarkExchange_Post counts what one webhook costs on this side of it.
func BenchmarkExchange_Post(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	b.Cleanup(s.Close)
	client, body := New(Config{}), bytes.Repeat([]byte("x"), 300)
	b.ReportAllocs()
	for b.Loop() {
		if got := client.Post(b.Context(), Webhook{URL: s.URL, ID: "msg_1", Body: body}); got.Kind != rollout.ResultDone {
			b.Fatal(got)
		}
	}
}

// BenchmarkDoReusing compares a check on a connection of its own with one on a kept connection, in the clear and over TLS.
func BenchmarkDoReusing(b *testing.B) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	plain, secured := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	b.Cleanup(plain.Close)
	b.Cleanup(secured.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secured.Certificate())
	client := New(Config{TLS: &tls.Config{RootCAs: roots}})
	for name, url := range map[string]string{"http": plain.URL, "https": secured.URL} {
		for kept, reuse := range map[string]Reuse{"fresh": {}, "kept": {During: b.Context()}} {
			b.Run(name+"/"+kept, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
					if err != nil {
						b.Fatal(err)
					}
					resp, err := client.DoReusing(req, nil, reuse)
					if err != nil {
						b.Fatal(err)
					}
					_ = resp.Body.Close()
					cancel()
				}
			})
		}
	}
}
