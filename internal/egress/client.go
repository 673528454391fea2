package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// DefaultUserAgent is sent when Config names no other.
const DefaultUserAgent = "rollcall"

// Dial opens a connection like net.Dialer.DialContext.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config configures a Client. The zero Config is usable: plain dialling, no signatures by default.
type Config struct {
	// Dial opens connections; nil is a plain net.Dialer. Addresses come from requests, so Dial must reject the forbidden
	// ones.
	Dial Dial
	// TLS is for https; nil means the system's roots. Versions before 1.2 are never spoken.
	TLS *tls.Config
	// Key signs the webhooks without their own secret; empty leaves those unsigned.
	Key secret.Secret
	// UserAgent is the User-Agent header; empty means DefaultUserAgent.
	UserAgent string
}

// Client makes calls. It is safe for concurrent use. Only DoReusing keeps connections open between them.
type Client struct {
	dial      Dial
	tls       *tls.Config
	key       secret.Secret
	userAgent string
	kept      keeper
}

// New returns a client. A Key that cannot sign shows in the answer of each webhook: see secret.SigningKeys.
func New(c Config) *Client {
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	return &Client{dial: withDialTimeout(c.Dial), tls: requireTLS12(c.TLS), key: c.Key, userAgent: c.UserAgent}
}

// Dial opens a connection that is no HTTP, for at most the dialer's bound.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address)
}

// UserAgent returns the User-Agent header.
func (c *Client) UserAgent() string { return c.userAgent }

// Do sends req once, over its own connection, and returns the response, with its body open; it does not follow redirects.
// trust may be nil. The caller closes the body.
func (c *Client) Do(req *http.Request, trust *rollout.TLS) (*http.Response, error) {
	resp, _, err := c.exchange(req, trust)
	return resp, err
}

// DoReusing is like Do, but may send a GET or HEAD on a connection that an earlier one has left open. If that connection turns
// out to be closed, or is about to be, the request is sent again on a new one: it may arrive twice.
func (c *Client) DoReusing(req *http.Request, trust *rollout.TLS, reuse Reuse) (*http.Response, error) {
	safe := req.Method == http.MethodGet || req.Method == http.MethodHead
	if !safe || reuse.During == nil || req.Body != http.NoBody {
		return c.Do(req, trust)
	}
	if err := c.prepareRequest(req); err != nil {
		return nil, err
	}
	key := newKeptKey(reuse.During, req, trust)
	if kept := c.kept.take(req.Context(), key, reuse.Since); kept != nil {
		resp, err := exchangeOn(kept, req, func(net.Conn) { c.kept.keep(kept) })
		if err == nil && !resp.Close || req.Context().Err() != nil {
			return resp, err
		}
		if err == nil { // the server may be on its way out, and another one in its place
			_ = resp.Body.Close()
		}
	}
	conn, err := c.connect(req.Context(), req.URL, trust)
	if err != nil {
		return nil, err
	}
	fresh := &keptConn{Conn: conn, key: key, opened: time.Now()}
	return exchangeOn(conn, req, func(net.Conn) { c.kept.keep(fresh) })
}

// prepareRequest validates req and adds the client's headers.
func (c *Client) prepareRequest(req *http.Request) error {
	if err := validateRequest(req); err != nil {
		return err
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	return nil
}

// exchange also reports whether there was a connection: without one nothing of the request can have been written.
func (c *Client) exchange(req *http.Request, trust *rollout.TLS) (resp *http.Response, connected bool, err error) {
	if err := c.prepareRequest(req); err != nil {
		return nil, false, err
	}
	conn, err := c.connect(req.Context(), req.URL, trust)
	if err != nil {
		return nil, false, err
	}
	req.Close = true
	resp, err = exchangeOn(conn, req, nil)
	return resp, true, err
}
