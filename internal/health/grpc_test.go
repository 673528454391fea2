package health

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	"rollcall/internal/healthcheck"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
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

func TestGRPC_ReadsServingStatus(t *testing.T) {
	t.Parallel()
	address, statuses := serveGRPC(t)
	statuses.SetServingStatus("checkout", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	statuses.SetServingStatus("odd", grpc_health_v1.HealthCheckResponse_UNKNOWN)
	want(t, probe(t, healthcheck.Check{Type: "grpc"}, "http://"+address), healthcheck.Healthy, "SERVING")
	want(t, probe(t, healthcheck.Check{Type: "grpc", Service: "checkout"}, address), healthcheck.Unhealthy, "NOT_SERVING")
	want(t, probe(t, healthcheck.Check{Type: "grpc", Service: "odd"}, address), healthcheck.Unknown, "")
	want(t, probe(t, healthcheck.Check{Type: "grpc", Service: "none"}, address), healthcheck.Unhealthy, "no service")
	statuses.SetServingStatus("checkout", grpc_health_v1.HealthCheckResponse_SERVING)
	want(t, probe(t, healthcheck.Check{Type: "grpc", Service: "checkout"}, address), healthcheck.Healthy, "SERVING")
}

func TestGRPC_SpeaksTLS(t *testing.T) {
	t.Parallel()
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(lender.Close)
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	address, _ := serveGRPC(t, grpc.Creds(credentials.NewServerTLSFromCert(&lender.TLS.Certificates[0])))
	check := healthcheck.Check{Type: "grpc", TLS: true}
	got := New(Config{TLS: &tls.Config{RootCAs: roots}}).Probe(t.Context(), check, "https://"+address, nil)
	want(t, got, healthcheck.Healthy, "SERVING")
	want(t, probe(t, check, address), healthcheck.Unhealthy, "certificate")
	want(t, probe(t, healthcheck.Check{Type: "grpc"}, address), healthcheck.Unhealthy, "")
}

func TestGRPC_MissingServiceIsUnhealthy(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	server := grpc.NewServer()
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(server.Stop)
	want(t, probe(t, healthcheck.Check{Type: "grpc"}, l.Addr().String()), healthcheck.Unhealthy, "grpc.health.v1")
	want(t, probe(t, healthcheck.Check{Type: "grpc"}, unusedAddress(t)), healthcheck.Unhealthy, "connection refused")
	want(t, probe(t, healthcheck.Check{Type: "grpc"}, "h"), healthcheck.Unknown, "port")
}
