package target

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"rollcall/internal/rollout"
)

// DefaultUserAgent is sent when Config names no other.
const DefaultUserAgent = "rollcall"

// Config is what a Client needs. The zero Config is usable: plain dialling, no signatures by default.
type Config struct {
	// Dial opens connections; nil is a plain net.Dialer. It is called for "tcp" only.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for https targets; nil means the system's roots. Versions before 1.2 are never spoken.
	TLS *tls.Config
	// Key signs the calls of deployments that bring no secret of their own; empty leaves those unsigned.
	Key rollout.Secret
	// UserAgent is what targets see; empty means DefaultUserAgent.
	UserAgent string
}

// Client calls deploy webhooks. It is safe for concurrent use and keeps no connection open between calls.
type Client struct {
	http      *http.Client
	key       rollout.Secret
	userAgent string
}

// New gives a client. A Key that is not valid shows in the answer of each call: see ValidSecret.
func New(c Config) *Client {
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	return &Client{
		http: &http.Client{
			Transport:     transport(c),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		key:       c.Key,
		userAgent: c.UserAgent,
	}
}

// Call sends call to the target's deploy URL once and says what came of it. It ends with ctx, which should carry the
// deadline call.Until, or after the deployment's deploy timeout (0: none), whichever is first. All that goes wrong is
// in the answer: AnswerNotSent when no byte of the request can have left, AnswerLost when nobody can tell.
func (c *Client) Call(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.Answer {
	began := time.Now()
	if timeout := d.Spec.Deploy.Timeout.Std(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answer := c.send(ctx, d, t, call)
	answer.Latency = time.Since(began)
	return answer
}

func (c *Client) send(ctx context.Context, d *rollout.Deployment, t *rollout.Target, call rollout.Call) rollout.Answer {
	began := time.Now()
	var connected atomic.Bool // set by the transport's own goroutines
	req, err := c.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), d, t, call)
	if err != nil {
		return rollout.Answer{Kind: rollout.AnswerNotSent, Message: oneLine(err.Error())}
	}
	resp, err := c.http.Do(req)
	switch {
	case err == nil:
		return read(resp)
	case connected.Load():
		return rollout.Answer{Kind: rollout.AnswerLost, Message: lost(ctx, err, began)}
	default:
		return rollout.Answer{Kind: rollout.AnswerNotSent, Message: notSent(ctx, err, began)}
	}
}
