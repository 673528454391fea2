package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

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

// Client makes calls. It is safe for concurrent use and keeps no connection open between them.
type Client struct {
	dial      Dial
	tls       *tls.Config
	key       secret.Secret
	userAgent string
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

// exchange also reports whether there was a connection: without one nothing of the request can have been written.
func (c *Client) exchange(req *http.Request, trust *rollout.TLS) (resp *http.Response, connected bool, err error) {
	if err := validateRequest(req); err != nil {
		return nil, false, err
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	conn, err := c.connect(req.Context(), req.URL, trust)
	if err != nil {
		return nil, false, err
	}
	req.Close = true
	resp, err = exchangeOn(conn, req)
	return resp, true, err
}
