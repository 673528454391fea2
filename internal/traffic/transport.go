package traffic

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout and handshakeTimeout bound the way to a connection, whatever the write's own timeout.
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	// maxHeaderBytes bounds the headers of an answer.
	maxHeaderBytes = 64 << 10
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func boundedDial(dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// transport opens a connection for each request: on a kept one, which the other side may close at any time, the fate of
// a write would be unknown more often, and net/http would send some requests twice. So would HTTP/2, which is off.
func transport(dial dialFunc, config *tls.Config) *http.Transport {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // the proxy of the server's environment has no business between it and a router
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		DisableKeepAlives:      true,
		DisableCompression:     true, // a small packed answer could unpack to a large one
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}
