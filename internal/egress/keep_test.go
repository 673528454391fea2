package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/rollout"
)

// counted is a server that counts the connections it gets, and answers with its name.
type counted struct {
	*httptest.Server
	opened, requests atomic.Int32
	open             atomic.Int32
	closed           chan struct{}
}

func serveCounted(t *testing.T, address, answer string, handle func(http.ResponseWriter, *http.Request)) *counted {
	t.Helper()
	s := &counted{closed: make(chan struct{}, 5000)}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if handle != nil {
			handle(w, r)
		}
		_, _ = io.WriteString(w, answer)
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.opened.Add(1)
			s.open.Add(1)
		case http.StateClosed:
			s.open.Add(-1)
			s.closed <- struct{}{}
		default:
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// get sends a GET that may reuse a connection, and returns the answer's body.
func get(t *testing.T, c *Client, url string, reuse Reuse) string {
	t.Helper()
	return getWithin(t, c, url, reuse, 20*time.Second)
}

func getWithin(t *testing.T, c *Client, url string, reuse Reuse, timeout time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.DoReusing(req, nil, reuse)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestReuse_RequestsShareConnection(t *testing.T) {
	t.Parallel()
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	c := New(Config{})
	for range 5 {
		get(t, c, s.URL, Reuse{During: t.Context()})
	}
	if s.opened.Load() != 1 || s.requests.Load() != 5 {
		t.Errorf("%d requests on %d connections", s.requests.Load(), s.opened.Load())
	}
}

// What two requests do not have in common must not be decided by the first one's connection.
func TestReuse_OnlyOfSameOriginPurposeAndTrust(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	url, calls := ca.serve(nil)
	c := New(Config{})
	send := func(trust *rollout.TLS) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.DoReusing(req, trust, Reuse{During: t.Context()})
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if err := send(&rollout.TLS{CA: ca.pem}); err != nil {
		t.Fatal(err)
	}
	if send(nil) == nil || send(&rollout.TLS{CA: newAuthority(t).pem}) == nil || calls.Load() != 1 {
		t.Error("a request without that trust was sent on the connection of one with it")
	}
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	other, cancel := context.WithCancel(t.Context())
	defer cancel()
	get(t, c, s.URL, Reuse{During: t.Context()})
	get(t, c, s.URL, Reuse{During: other})
	get(t, c, s.URL, Reuse{During: t.Context(), Since: time.Now()})
	get(t, c, s.URL, Reuse{})
	if s.opened.Load() != 4 {
		t.Errorf("4 requests with nothing in common on %d connections", s.opened.Load())
	}
}

func TestReuse_OnlySafeMethods(t *testing.T) {
	t.Parallel()
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	c := New(Config{})
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.DoReusing(req, nil, Reuse{During: t.Context()})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		<-s.closed
	}
}

func TestReuse_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	c := New(Config{})
	during, cancel := context.WithCancel(t.Context())
	get(t, c, s.URL+"/a", Reuse{During: during})
	get(t, c, s.URL+"/b", Reuse{During: during})
	cancel()
	<-s.closed
	<-s.closed
}

func TestReuse_IdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	c := New(Config{})
	c.kept.idle = time.Millisecond
	get(t, c, s.URL, Reuse{During: t.Context()})
	<-s.closed
}

func TestReuse_KeepsLimitedNumber(t *testing.T) {
	t.Parallel()
	s := serveCounted(t, "127.0.0.1:0", "ok", nil)
	c := New(Config{})
	const more = 5
	for i := range maxKept + more {
		get(t, c, fmt.Sprintf("%s/%d", s.URL, i), Reuse{During: t.Context()})
	}
	for range more {
		<-s.closed
	}
	get(t, c, fmt.Sprintf("%s/%d", s.URL, more), Reuse{During: t.Context()})
	if s.opened.Load() != maxKept+more {
		t.Errorf("%d connections for %d keys: the oldest were not the ones to go", s.opened.Load(), maxKept+more)
	}
}

func TestReuse_RestartedServerIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	before := serveCounted(t, "127.0.0.1:0", "before", nil)
	c, reuse := New(Config{}), Reuse{During: t.Context()}
	if got := get(t, c, before.URL, reuse); got != "before" {
		t.Fatal(got)
	}
	address := before.Listener.Addr().String()
	before.Close()
	after := serveCounted(t, address, "after", nil)
	for range 2 {
		if got := get(t, c, after.URL, reuse); got != "after" {
			t.Errorf("got %q", got)
		}
	}
}

// A server on its way out answers on its old connections, while another one may already take the new ones.
func TestReuse_LeavingServerIsNotBelieved(t *testing.T) {
	t.Parallel()
	old, replaced := make(chan struct{}), atomic.Bool{}
	var handle sync.Once
	before := serveCounted(t, "127.0.0.1:0", "before", func(w http.ResponseWriter, _ *http.Request) {
		if replaced.Load() {
			w.Header().Set("Connection", "close")
			handle.Do(func() { close(old) })
		}
	})
	c, reuse := New(Config{}), Reuse{During: t.Context()}
	get(t, c, before.URL, reuse)
	address := before.Listener.Addr().String()
	_ = before.Listener.Close()
	replaced.Store(true)
	after := serveCounted(t, address, "after", nil)
	if got := get(t, c, after.URL, reuse); got != "after" {
		t.Errorf("got %q", got)
	}
	<-old
}

// The other side may close the connection just as the request arrives.
func TestReuse_ConnectionClosedOnRequestIsReplaced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{} // requests, by connection
	s := serveCounted(t, "127.0.0.1:0", "ok", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RemoteAddr]++
		second := seen[r.RemoteAddr] > 1
		mu.Unlock()
		if second {
			panic(http.ErrAbortHandler)
		}
	})
	c := New(Config{})
	for range 10 {
		get(t, c, s.URL, Reuse{During: t.Context()})
	}
	if s.requests.Load() <= 10 {
		t.Error("no connection was used twice")
	}
}

// An unread body must neither be waited for nor be taken for the next response.
func TestReuse_UnreadBody(t *testing.T) {
	t.Parallel()
	endless := make(chan struct{})
	for name, test := range map[string]struct {
		handle func(http.ResponseWriter, *http.Request)
		conns  int32
	}{
		"short": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "2") }, 1},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			endless <- struct{}{}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveCounted(t, "127.0.0.1:0", "ok", test.handle)
			c := New(Config{})
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.DoReusing(req, nil, Reuse{During: t.Context()})
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				cancel()
				if name == "endless" {
					<-endless
				}
			}
			if s.opened.Load() != test.conns {
				t.Errorf("%d connections", s.opened.Load())
			}
		})
	}
}
