package health

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"rollcall/internal/egress"
	"rollcall/internal/healthcheck"
)

// grpcKind asks grpc.health.v1.Health/Check, in the clear or over TLS.
type grpcKind struct{ out *egress.Client }

func (k grpcKind) probeTarget(
	ctx context.Context, check *healthcheck.Check, address string, via connection,
) healthcheck.ProbeResult {
	began := time.Now()
	to, err := hostPort(address, check.Port)
	if err != nil {
		return unknown(err.Error())
	}
	config, err := k.out.TLS(via.trust)
	if err != nil {
		return unknown(err.Error())
	}
	conn, err := grpc.NewClient("passthrough:///"+to, k.dialOptions(check, config)...)
	if err != nil {
		return unknown(err.Error())
	}
	defer conn.Close() //nolint:errcheck // it only says that it was closed before
	answer, err := grpc_health_v1.NewHealthClient(conn).
		Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: check.Service})
	if err != nil {
		return unhealthy(grpcErrorText(ctx, err, began))
	}
	return servingResult(answer.GetStatus())
}

func (k grpcKind) dialOptions(check *healthcheck.Check, config *tls.Config) []grpc.DialOption {
	creds := insecure.NewCredentials()
	if check.TLS {
		creds = credentials.NewTLS(config)
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return k.out.Dial(ctx, "tcp", to) }),
		grpc.WithUserAgent(k.out.UserAgent()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(egress.MaxBody)),
	}
}

func servingResult(s grpc_health_v1.HealthCheckResponse_ServingStatus) healthcheck.ProbeResult {
	switch s {
	case grpc_health_v1.HealthCheckResponse_SERVING:
		return healthy(s.String())
	case grpc_health_v1.HealthCheckResponse_NOT_SERVING, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN:
		return unhealthy(s.String())
	case grpc_health_v1.HealthCheckResponse_UNKNOWN:
		return unknown("the target reports its status as unknown")
	default:
		return unknown("the answer is not a status: " + s.String())
	}
}

func grpcErrorText(ctx context.Context, err error, began time.Time) string {
	switch code := status.Code(err); {
	case code == codes.NotFound:
		return "the target knows no service of that name"
	case code == codes.Unimplemented:
		return "the target does not offer grpc.health.v1"
	case code == codes.DeadlineExceeded, ctx.Err() != nil:
		return egress.ErrorText(ctx, context.DeadlineExceeded, began)
	default:
		return status.Convert(err).Message()
	}
}
