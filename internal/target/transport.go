package target

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout and handshakeTimeout bound the way to a connection, whatever the call's own timeout.
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	// maxHeaderBytes bounds the headers of an answer.
	maxHeaderBytes = 64 << 10
)

// transport opens a connection for each call. A target is called about once per deployment, so a kept connection would
// hardly ever be used again, and a stale one would make the call's fate unknown: the other side may close it just as
// the request goes out. Fresh connections are also never sent a request twice by net/http. HTTP/2, which may repeat
// requests by itself, is off.
func transport(c Config) *http.Transport {
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: nil, // the proxy of the server's environment has no business between it and its targets
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return dial(ctx, network, address)
		},
		TLSClientConfig:        tlsConfig(c.TLS),
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true, // a small packed answer could unpack to a large one
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

func tlsConfig(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}
