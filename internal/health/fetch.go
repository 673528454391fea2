package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

const (
	handshakeTimeout = 5 * time.Second
	maxHeaderBytes   = 64 << 10
)

// fetcher sends the requests of http and metric checks. Each goes over a connection of its own: a probe shall see
// whether the target still takes new ones.
type fetcher struct {
	client    *http.Client
	userAgent string
}

func newFetcher(c Config) *fetcher {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &fetcher{
		userAgent: c.UserAgent,
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:            c.Dial,
				TLSClientConfig:        tlsConfig(c.TLS),
				TLSHandshakeTimeout:    handshakeTimeout,
				DisableKeepAlives:      true,
				DisableCompression:     true,
				MaxResponseHeaderBytes: maxHeaderBytes,
				Protocols:              protocols,
			},
		},
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

// get asks u as the check says. The caller closes the body.
func (f *fetcher) get(ctx context.Context, check *rollout.Check, u *url.URL, accept string) (*http.Response, error) {
	method := check.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(method), u.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the check's method is not an HTTP method")
	}
	req.Header.Set("User-Agent", f.userAgent)
	req.Header.Set("Accept", accept)
	for name, value := range check.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	return f.client.Do(req)
}

// statusExpected reports whether code is among the codes ("204") and ranges ("200-299") of expected; none at all mean
// any 2xx.
func statusExpected(expected []string, code int) (bool, error) {
	if len(expected) == 0 {
		return code >= 200 && code < 300, nil
	}
	for _, item := range expected {
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(low))
		to, err2 := strconv.Atoi(strings.TrimSpace(high))
		if err1 != nil || err2 != nil {
			return false, fmt.Errorf("expected_status %q is neither a code nor a range", item)
		}
		if from <= code && code <= to {
			return true, nil
		}
	}
	return false, nil
}
