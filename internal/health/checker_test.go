package health

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
)

func TestTypes_ListsAllKinds(t *testing.T) {
	t.Parallel()
	if got := Types(); !slices.Equal(got, []string{"command", "grpc", "http", "metric", "none", "tcp"}) {
		t.Errorf("types %v", got)
	}
}

func TestProbe_UnknownKindIsUnknown(t *testing.T) {
	t.Parallel()
	want(t, probe(t, healthcheck.Check{Type: "icmp"}, "http://h"), healthcheck.Unknown, `"icmp"`)
}

func TestProbe_NoneSendsNothing(t *testing.T) {
	t.Parallel()
	want(t, probe(t, healthcheck.Check{Type: healthcheck.TypeNone}, ""), healthcheck.Unknown, "no check is configured")
}

func TestProbe_TimeoutBoundsEveryKind(t *testing.T) {
	t.Parallel()
	silent := listen(t, "127.0.0.1:0").Addr().String() // takes connections and says nothing
	for _, check := range []healthcheck.Check{
		{Type: "http"},
		{Type: "metric", Metric: "up"},
		{Type: "metric", Pointer: "/x"},
		{Type: "grpc"},
		{Type: "grpc", TLS: true},
		{Type: "command", Command: "sleep", Args: []string{"60"}},
	} {
		check.Timeout = duration.Duration(100 * time.Millisecond)
		c := New(Config{Commands: map[string]string{"sleep": "sleep"}})
		got := c.Probe(t.Context(), check, "http://"+silent, nil)
		want(t, got, healthcheck.Unhealthy, "within")
		if got.Latency < 90*time.Millisecond || got.Latency > 5*time.Second { // timers may be early by a clock's step
			t.Errorf("%s: latency %v", check.Type, got.Latency)
		}
	}
}

func TestProbe_CancelledIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	got := New(Config{}).Probe(ctx, healthcheck.Check{Type: "http"}, url, nil)
	want(t, got, healthcheck.Unknown, "cancelled")
}
