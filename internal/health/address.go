package health

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"rollcall/internal/healthcheck"
)

var (
	errNotHTTP = errors.New("neither the check's url nor the target's address is an http or https URL")
	errNoPort  = errors.New("the check names no port, and the target's address has none either")
	errNoHost  = errors.New("the target's address names no host")
	errPath    = errors.New("the check's path is not a URL path")
)

// endpointURL returns the URL that a check requests: its own url, or its path (else defaultPath) appended to the address. A
// query in either is kept.
func endpointURL(check *healthcheck.Check, address, defaultPath string) (*url.URL, error) {
	if check.URL != "" {
		return webURL(check.URL)
	}
	base, err := webURL(address)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(check.Path, "?")
	if check.Path == "" {
		path = defaultPath
	}
	if _, err := url.PathUnescape(path); err != nil {
		return nil, errPath
	}
	u := base.JoinPath(path)
	u.RawQuery = strings.Trim(base.RawQuery+"&"+query, "&")
	return u, nil
}

func webURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errNotHTTP
	}
	return u, nil
}

// hostPort returns where a check without HTTP connects: the address's host, and port (0: the address's own, else the usual
// one of its scheme).
func hostPort(address string, port int) (string, error) {
	if !strings.Contains(address, "://") {
		address = "tcp://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return "", errNoHost
	}
	own := u.Port()
	switch {
	case port != 0:
		own = strconv.Itoa(port)
	case own != "":
	case u.Scheme == "http":
		own = "80"
	case u.Scheme == "https":
		own = "443"
	default:
		return "", errNoPort
	}
	return net.JoinHostPort(u.Hostname(), own), nil
}
