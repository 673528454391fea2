package auth

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of calls to an issuer. Anyone can forge a token with an unknown key, and so make the server fetch the keys: it does
// so rarely.
const (
	askEvery      = 10 * time.Second
	askTimeout    = time.Second
	maxIssuerBody = 1 << 20
)

// errTooSoon means that an issuer was called too recently.
var errTooSoon = errors.New("the issuer was called a moment ago")

// throttledTransport makes each GET at most once in askEvery, unless it failed, and then at most once in a second.
type throttledTransport struct {
	next   http.RoundTripper
	mu     sync.Mutex
	asked  map[string]time.Time // when a URL may be asked again
	failed error                // of the last call that was made
}

func newThrottledTransport() *throttledTransport {
	return &throttledTransport{
		asked: map[string]time.Time{},
		next: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: askTimeout}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: askTimeout, ResponseHeaderTimeout: askTimeout, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
	}
}

// httpClient returns an HTTP client that follows no redirect: only the operator configures the issuer.
func (t *throttledTransport) httpClient() *http.Client {
	return &http.Client{
		Transport: t, Timeout: askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// lastError returns the error of the last call to the issuer; nil if it succeeded.
func (t *throttledTransport) lastError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// RoundTrip implements http.RoundTripper.
func (t *throttledTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.startCall(r.URL.String()); err != nil {
		return nil, err
	}
	res, err := t.next.RoundTrip(r)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("the issuer returned %s", res.Status), res.Body.Close())
	}
	t.endCall(r.URL.String(), err)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxIssuerBody), res.Body}
	return res, nil
}

func (t *throttledTransport) startCall(url string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.asked[url]) {
		return errTooSoon
	}
	t.asked[url] = time.Now().Add(askTimeout)
	return nil
}

func (t *throttledTransport) endCall(url string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err
	if err == nil {
		t.asked[url] = time.Now().Add(askEvery)
	}
}
