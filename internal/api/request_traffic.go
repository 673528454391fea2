package api

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/api/types"
	"rollcall/internal/routing"
)

// The kinds of router.
const (
	trafficWebhook = "webhook"
	trafficHAProxy = "haproxy"
)

const (
	defaultTrafficTimeout = 10 * time.Second
	minTrafficTimeout     = 10 * time.Millisecond
	maxTrafficTimeout     = 10 * time.Minute
	defaultTrafficRetries = 5
	defaultTrafficBackoff = time.Second
	maxDrain              = 24 * time.Hour
	socketPrefix          = "unix:"
	// maxSocketPath is the longest path that a unix socket can have.
	maxSocketPath = 107
)

// readTraffic reads the router's configuration; nil when there is none.
func (q *request) readTraffic() *routing.Config {
	g := q.body.Traffic
	if g == nil {
		return nil
	}
	t := &routing.Config{
		Type: string(g.Type),
		Timeout: q.parseDuration(g.Timeout, "/traffic/timeout",
			bounds{defaultTrafficTimeout, minTrafficTimeout, maxTrafficTimeout}),
		Retries:  valueOr(g.Retries, defaultTrafficRetries),
		Backoff:  q.parseDuration(g.Backoff, "/traffic/backoff", bounds{defaultTrafficBackoff, 0, maxBackoff}),
		Drain:    q.parseDuration(g.Drain, "/traffic/drain", bounds{0, 0, maxDrain}),
		URL:      valueOr(g.URL, ""),
		ReadBack: valueOr(g.ReadBack, false) || g.Type == trafficHAProxy,
		Socket:   valueOr(g.Socket, ""), Backend: valueOr(g.Backend, ""),
		Sockets: valueOr(g.Sockets, nil), Backends: valueOr(g.Backends, nil), TakeOut: string(valueOr(g.TakeOut, "")),
	}
	switch t.Type {
	case trafficWebhook:
		q.verifyWebhookRouter(g)
	case trafficHAProxy:
		q.verifyHAProxy(g)
	}
	return t
}

func (q *request) verifyWebhookRouter(g *types.TrafficRequest) {
	q.rejectFields(g, "socket", "backend", "sockets", "backends", "take_out")
	if g.URL == nil {
		q.add("/traffic/url", "is required")
		return
	}
	q.checkURL(*g.URL, "/traffic/url")
}

func (q *request) verifyHAProxy(g *types.TrafficRequest) {
	q.rejectFields(g, "url")
	if g.ReadBack != nil && !*g.ReadBack {
		q.add("/traffic/read_back", "must not be false: haproxy is always read back")
	}
	if q.requireOneOrMore("backend", g.Backend, g.Backends); g.Backends != nil {
		q.requireDistinct("/traffic/backends", g.Backend, *g.Backends)
	}
	q.requireOneOrMore("socket", g.Socket, g.Sockets)
	if g.Socket != nil {
		q.checkSocket(*g.Socket, "/traffic/socket")
	}
	if g.Sockets != nil {
		q.requireDistinct("/traffic/sockets", g.Socket, *g.Sockets)
		for i, socket := range *g.Sockets {
			q.checkSocket(socket, fmt.Sprintf("/traffic/sockets/%d", i))
		}
	}
}

// requireOneOrMore reports a field when both it and its plural are missing.
func (q *request) requireOneOrMore(name string, one *string, more *[]string) {
	if one == nil && more == nil {
		q.add("/traffic/"+name, "is required, or %ss", name)
	}
}

// requireDistinct rejects a name in the list that the singular field has already.
func (q *request) requireDistinct(pointer string, one *string, more []string) {
	if one == nil {
		return
	}
	if i := slices.Index(more, *one); i >= 0 {
		q.add(fmt.Sprintf("%s/%d", pointer, i), "is a duplicate")
	}
}

// rejectFields rejects fields of the other kinds of router.
func (q *request) rejectFields(g *types.TrafficRequest, names ...string) {
	for _, f := range []field{
		{"url", g.URL != nil},
		{"socket", g.Socket != nil},
		{"backend", g.Backend != nil},
		{"sockets", g.Sockets != nil},
		{"backends", g.Backends != nil},
		{"take_out", g.TakeOut != nil},
	} {
		if f.given && slices.Contains(names, f.name) {
			q.add("/traffic/"+f.name, "is not supported by traffic of type %s", g.Type)
		}
	}
}

// checkSocket checks where a runtime API listens: "unix:" and a clean absolute path, or host:port.
func (q *request) checkSocket(raw, pointer string) {
	file, isUnix := strings.CutPrefix(raw, socketPrefix)
	switch {
	case strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		q.add(pointer, "must not contain spaces or control characters")
	case isUnix && (!path.IsAbs(file) || path.Clean(file) != file || file == "/" || len(file) > maxSocketPath):
		q.add(pointer, "must have an absolute path of at most %d bytes after %q", maxSocketPath, socketPrefix)
	case !isUnix && !hostAndPort(raw):
		q.add(pointer, "must be %q and an absolute path, or host:port", socketPrefix)
	default:
		if err := q.checkAddress(raw); err != nil {
			q.add(pointer, "%v", err)
		}
	}
}

func hostAndPort(raw string) bool {
	host, port, err := net.SplitHostPort(raw)
	if err != nil || host == "" || strings.ContainsAny(host, "/@?#") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
