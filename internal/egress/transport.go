package egress

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
	// maxHeaderBytes limits the headers of a response.
	maxHeaderBytes = 64 << 10
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

// newTransport returns a transport that opens a connection for one call. A kept one would hardly ever be used again, and a stale one would make the
// call's fate unknown: the other side may close it just as the request goes out. Fresh connections are also never sent a
// request twice by net/http. HTTP/2, which may repeat requests by itself, is off.
func newTransport(dial Dial, config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // calls to targets must not go through the environment's proxy
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true, // a small packed answer could unpack to a large one
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}
