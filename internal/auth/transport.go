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

// How an issuer is asked. Anybody can make up a token with a key that is not known, and so make the server ask for the
// keys: it does so rarely.
const (
	askEvery      = 10 * time.Second
	askTimeout    = time.Second
	maxIssuerBody = 1 << 20
)

// errTooSoon is why an issuer is not asked again yet.
var errTooSoon = errors.New("the issuer was asked a moment ago")

// rareTransport makes each GET at most once in askEvery, unless it failed, and then at most once in a second.
type rareTransport struct {
	next   http.RoundTripper
	mu     sync.Mutex
	asked  map[string]time.Time // when a URL may be asked again
	failed error                // of the last call that was made
}

func newRareTransport() *rareTransport {
	return &rareTransport{
		asked: map[string]time.Time{},
		next: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: askTimeout}).DialContext,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: askTimeout, ResponseHeaderTimeout: askTimeout, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
	}
}

// client is an HTTP client that follows no redirect: the operator has named the issuer, nobody else may.
func (t *rareTransport) client() *http.Client {
	return &http.Client{
		Transport: t, Timeout: askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// failure is why the issuer's last answer was none; nil when it was one.
func (t *rareTransport) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// RoundTrip implements http.RoundTripper.
func (t *rareTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.begin(r.URL.String()); err != nil {
		return nil, err
	}
	res, err := t.next.RoundTrip(r)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("the issuer answers %s", res.Status), res.Body.Close())
	}
	t.end(r.URL.String(), err)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxIssuerBody), res.Body}
	return res, nil
}

func (t *rareTransport) begin(url string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.asked[url]) {
		return errTooSoon
	}
	t.asked[url] = time.Now().Add(askTimeout)
	return nil
}

func (t *rareTransport) end(url string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err
	if err == nil {
		t.asked[url] = time.Now().Add(askEvery)
	}
}
