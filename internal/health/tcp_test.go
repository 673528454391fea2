package health

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"

	"rollcall/internal/healthcheck"
)

func TestTCP_ChecksThatPortOpens(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			l := listen(t, at)
			host, port, _ := net.SplitHostPort(l.Addr().String())
			number, _ := strconv.Atoi(port)
			want(t, probe(t, healthcheck.Check{Type: "tcp"}, l.Addr().String()), healthcheck.Healthy, "open")
			want(t, probe(t, healthcheck.Check{Type: "tcp"}, "http://"+l.Addr().String()+"/base"), healthcheck.Healthy, "open")
			want(t, probe(t, healthcheck.Check{Type: "tcp", Port: number}, "http://"+net.JoinHostPort(host, "1")), healthcheck.Healthy, "open")
		})
	}
	want(t, probe(t, healthcheck.Check{Type: "tcp"}, unusedAddress(t)), healthcheck.Unhealthy, "connection refused")
}

func TestTCP_DefaultPortIsTheSchemes(t *testing.T) {
	t.Parallel()
	for address, to := range map[string]string{
		"http://h": "h:80", "https://h/x": "h:443", "http://[::1]": "[::1]:80", "h:5432": "h:5432", "tcp://h:1": "h:1",
	} {
		if got, err := hostPort(address, 0); got != to || err != nil {
			t.Errorf("%s: %s, %v, want %s", address, got, err, to)
		}
	}
	want(t, probe(t, healthcheck.Check{Type: "tcp"}, "h"), healthcheck.Unknown, "port")
	want(t, probe(t, healthcheck.Check{Type: "tcp"}, "http://:80"), healthcheck.Unknown, "no host")
}

func TestProbe_EveryKindDialsThroughGuard(t *testing.T) {
	t.Parallel()
	c := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not allowed") }})
	for _, check := range []healthcheck.Check{{Type: "http"}, {Type: "tcp"}, {Type: "grpc"}, {Type: "metric", Metric: "up"}} {
		want(t, c.Probe(t.Context(), check, "http://10.0.0.1:80", nil), healthcheck.Unhealthy, "not allowed")
	}
}
