package target

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/rollout"
)

func TestCall_WithoutConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, call(t, Config{}, other), rollout.ResultNotSent, "connection refused")
	want(t, call(t, Config{}, "http://name.invalid/"), rollout.ResultNotSent, "name.invalid")
	guarded := Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not allowed") }}
	want(t, call(t, guarded, other), rollout.ResultNotSent, "not allowed")
}

func TestWebhook_FailedHandshakeIsNotSent(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	want(t, call(t, Config{}, s.URL), rollout.ResultNotSent, "certificate")

	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	want(t, call(t, Config{TLS: &tls.Config{RootCAs: roots}}, s.URL), rollout.ResultDone, "HTTP 200")
	plain := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(100) })
	want(t, call(t, Config{}, strings.Replace(plain, "http:", "https:", 1)), rollout.ResultNotSent, "not sent: ")
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestWebhook_OldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.StartTLS()
	t.Cleanup(s.Close)
	old := Config{TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}}
	want(t, call(t, old, s.URL), rollout.ResultNotSent, "not sent: ")
}

func TestCall_HangingDialIsNotSent(t *testing.T) {
	t.Parallel()
	d := deployment()
	d.Spec.Deploy.Timeout = duration.Duration(30 * time.Millisecond)
	c := New(Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	want(t, c.Deploy(t.Context(), d, webhook("http://10.0.0.1/"), deployCall()), rollout.ResultNotSent, "not sent: nothing within")
}

func TestCall_TimeoutIsUnknown(t *testing.T) {
	t.Parallel()
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees a client hang up only after it has read the request
		<-r.Context().Done()
	})
	d := deployment()
	d.Spec.Deploy.Timeout = duration.Duration(50 * time.Millisecond)
	got := New(Config{}).Deploy(t.Context(), d, webhook(url), deployCall())
	want(t, got, rollout.ResultUnknown, "no answer: nothing within ")
	if got.Latency < 50*time.Millisecond {
		t.Errorf("latency %v", got.Latency)
	}
}

func TestCall_CancelledAfterSendIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url, _ := rawServer(t, func(c net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	want(t, New(Config{}).Deploy(ctx, deployment(), webhook(url), deployCall()), rollout.ResultUnknown, "given up")
	want(t, New(Config{}).Deploy(ctx, deployment(), webhook(url), deployCall()), rollout.ResultNotSent, "given up")
}

func TestCall_ResetConnectionIsUnknown(t *testing.T) {
	t.Parallel()
	url, requests := rawServer(t, func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	})
	want(t, call(t, Config{}, url), rollout.ResultUnknown, "the connection was")
	if requests.Load() != 1 {
		t.Errorf("%d requests", requests.Load())
	}
}

// A server may close a kept connection just as the next request goes out: net/http then sends some requests again.
func TestCall_IsNeverSentTwice(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{} // by Rollcall-Attempt
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go acceptOneAnswerPerConnection(l, func(attempt string) {
		mu.Lock()
		defer mu.Unlock()
		seen[attempt]++
	})
	client := New(Config{})
	for attempt := 1; attempt <= 50; attempt++ {
		c := deployCall()
		c.Attempt = attempt
		want(t, client.Deploy(t.Context(), deployment(), webhook("http://"+l.Addr().String()), c), rollout.ResultDone, "HTTP 200")
	}
	mu.Lock()
	defer mu.Unlock()
	for attempt, n := range seen {
		if n != 1 {
			t.Errorf("attempt %s was sent %d times", attempt, n)
		}
	}
}

// acceptOneAnswerPerConnection promises to keep connections, answers one request on each, and hangs up on the next.
func acceptOneAnswerPerConnection(l net.Listener, saw func(attempt string)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			reader := bufio.NewReader(conn)
			for range 2 {
				req, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				saw(req.Header.Get("Rollcall-Attempt"))
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
			}
		}()
	}
}

func TestCall_LeavesNoConnectionOpen(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	closed := make(chan struct{}, 100)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		default:
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	client := New(Config{})
	for range 5 {
		want(t, client.Deploy(t.Context(), deployment(), webhook(s.URL), deployCall()), rollout.ResultDone, "")
	}
	for range open.Load() {
		<-closed
	}
}
