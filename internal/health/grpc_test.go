package health

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"rollcall/internal/rollout"
)

func serveGRPC(t *testing.T, options ...grpc.ServerOption) (address string, statuses *grpchealth.Server) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	server, statuses := grpc.NewServer(options...), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(server, statuses)
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(server.Stop)
	return l.Addr().String(), statuses
}

func TestAGRPCCheckReadsTheServingStatus(t *testing.T) {
	t.Parallel()
	address, statuses := serveGRPC(t)
	statuses.SetServingStatus("checkout", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	statuses.SetServingStatus("odd", grpc_health_v1.HealthCheckResponse_UNKNOWN)
	want(t, probe(t, rollout.Check{Type: "grpc"}, "http://"+address), rollout.Healthy, "SERVING")
	want(t, probe(t, rollout.Check{Type: "grpc", Service: "checkout"}, address), rollout.HealthUnhealthy, "NOT_SERVING")
	want(t, probe(t, rollout.Check{Type: "grpc", Service: "odd"}, address), rollout.HealthUnknown, "")
	want(t, probe(t, rollout.Check{Type: "grpc", Service: "none"}, address), rollout.HealthUnhealthy, "no service")
	statuses.SetServingStatus("checkout", grpc_health_v1.HealthCheckResponse_SERVING)
	want(t, probe(t, rollout.Check{Type: "grpc", Service: "checkout"}, address), rollout.Healthy, "SERVING")
}

func TestAGRPCCheckSpeaksTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // it lends its certificate
	t.Cleanup(lender.Close)
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	address, _ := serveGRPC(t, grpc.Creds(credentials.NewServerTLSFromCert(&lender.TLS.Certificates[0])))
	check := rollout.Check{Type: "grpc", TLS: true}
	got := New(Config{TLS: &tls.Config{RootCAs: roots}}).Probe(t.Context(), check, "https://"+address, nil)
	want(t, got, rollout.Healthy, "SERVING")
	want(t, probe(t, check, address), rollout.HealthUnhealthy, "certificate")
	want(t, probe(t, rollout.Check{Type: "grpc"}, address), rollout.HealthUnhealthy, "")
}

func TestATargetWithoutGRPCHealthIsUnhealthy(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	server := grpc.NewServer()
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(server.Stop)
	want(t, probe(t, rollout.Check{Type: "grpc"}, l.Addr().String()), rollout.HealthUnhealthy, "grpc.health.v1")
	want(t, probe(t, rollout.Check{Type: "grpc"}, nobody(t)), rollout.HealthUnhealthy, "connection refused")
	want(t, probe(t, rollout.Check{Type: "grpc"}, "h"), rollout.HealthUnknown, "port")
}
