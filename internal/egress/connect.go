package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"time"

	"golang.org/x/net/idna"

	"rollcall/internal/rollout"
)

const (
	// dialTimeout and handshakeTimeout bound the way to a connection, whatever the call's own timeout.
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
)

// withDialTimeout returns a dial that is given up after dialTimeout.
func withDialTimeout(dial Dial) Dial {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// connect opens a connection to the host of u, TLS handshake included. Calls to targets must not go through the environment's
// proxy. HTTP/2, which may repeat requests by itself, is not offered.
func (c *Client) connect(ctx context.Context, u *url.URL, trust *rollout.TLS) (net.Conn, error) {
	host, port := asciiHost(u.Hostname()), u.Port()
	if u.Scheme == "http" {
		return c.dial(ctx, "tcp", joinPort(host, port, "80"))
	}
	config, err := c.TLS(trust)
	if err != nil {
		return nil, err
	}
	config.ServerName, config.NextProtos = host, []string{"http/1.1"}
	plain, err := c.dial(ctx, "tcp", joinPort(host, port, "443"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err //nolint:wrapcheck // ErrorText formats it
	}
	return conn, nil
}

// asciiHost returns the host as a name server knows it.
func asciiHost(host string) string {
	for i := range len(host) {
		if host[i] >= 0x80 {
			if name, err := idna.Lookup.ToASCII(host); err == nil {
				return name
			}
			break
		}
	}
	return host
}

func joinPort(host, port, usual string) string {
	if port == "" {
		port = usual
	}
	return net.JoinHostPort(host, port)
}
