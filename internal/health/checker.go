package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// DefaultTimeout is the timeout of a check without one.
const DefaultTimeout = 5 * time.Second

// Config configures a Checker. The zero Config is usable; it allows no commands.
type Config struct {
	// Dial opens connections; nil is a plain net.Dialer. It is called for "tcp" only.
	Dial egress.Dial
	// TLS is for https and for grpc with TLS; nil means the system's roots. Versions before 1.2 are never spoken.
	TLS *tls.Config
	// Commands are the programs that command checks may run: a name and the absolute path of an executable.
	Commands map[string]string
	// UserAgent is the User-Agent header unless a check sets it; empty means egress.DefaultUserAgent.
	UserAgent string
}

// kind is a type of check. probe respects the deadline of ctx; the Checker measures the latency.
type kind interface {
	probeTarget(ctx context.Context, check *healthcheck.Check, address string, via connection) healthcheck.ProbeResult
}

// connection is how a target is connected to.
type connection struct {
	trust *rollout.TLS
	reuse egress.Reuse
}

// Checker probes targets. It is safe for concurrent use. Only ProbeAgain leaves a connection open between two probes, and not
// for long: they must see whether the target still takes new ones.
type Checker struct {
	kinds map[string]kind
}

// New returns a Checker of all kinds.
func New(c Config) *Checker {
	out := egress.New(egress.Config{Dial: c.Dial, TLS: c.TLS, UserAgent: c.UserAgent})
	return &Checker{kinds: map[string]kind{
		"http":               httpKind{out},
		"tcp":                tcpKind{out},
		"grpc":               grpcKind{out},
		"metric":             metricKind{out},
		"command":            commandKind{c.Commands},
		healthcheck.TypeNone: noneKind{},
	}}
}

// Types lists the kinds of check by name, sorted.
func Types() []string {
	var types []string
	for name := range New(Config{}).kinds {
		types = append(types, name)
	}
	slices.Sort(types)
	return types
}

// Probe carries out check once, for at most its timeout (0: DefaultTimeout), and says what was seen. address is the
// target's base URL; tcp, grpc and command also take host:port. trust may be nil. What goes wrong is in the observation.
func (c *Checker) Probe(
	ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS,
) healthcheck.ProbeResult {
	return c.probe(ctx, check, address, connection{trust: trust})
}

// ProbeAgain is like Probe, but an HTTP check by GET or HEAD may use the connection of an earlier one with the same ctx, and
// leaves its own open for the next, at most until ctx ends. A connection that was opened before since is not used.
func (c *Checker) ProbeAgain(
	ctx context.Context, check healthcheck.Check, address string, trust *rollout.TLS, since time.Time,
) healthcheck.ProbeResult {
	return c.probe(ctx, check, address, connection{trust: trust, reuse: egress.Reuse{During: ctx, Since: since}})
}

func (c *Checker) probe(ctx context.Context, check healthcheck.Check, address string, via connection) healthcheck.ProbeResult {
	k, ok := c.kinds[check.Type]
	if !ok {
		return unknown(fmt.Sprintf("unknown check type %q", check.Type))
	}
	timeout := check.Timeout.Std()
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	probeCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	seen := k.probeTarget(probeCtx, &check, address, via)
	seen.Latency = time.Since(began)
	if errors.Is(ctx.Err(), context.Canceled) && !seen.Status.Passing() {
		seen.Status, seen.Message = healthcheck.Unknown, "the check was cancelled"
	}
	seen.Message = egress.Sanitize(redactHeaders(&check, seen.Message))
	seen.Version = redactHeaders(&check, seen.Version)
	return seen
}

func healthy(message string) healthcheck.ProbeResult {
	return healthcheck.ProbeResult{Status: healthcheck.Healthy, Message: message}
}

func unhealthy(message string) healthcheck.ProbeResult {
	return healthcheck.ProbeResult{Status: healthcheck.Unhealthy, Message: message}
}

func unknown(message string) healthcheck.ProbeResult {
	return healthcheck.ProbeResult{Status: healthcheck.Unknown, Message: message}
}
