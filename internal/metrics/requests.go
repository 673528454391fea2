package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// unmatched stands for every path that no route has.
const unmatched = "unmatched"

// requests is what the HTTP server answered.
type requests struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newRequests(with promauto.Factory) requests {
	return requests{
		total: counters(with, "http_requests_total", "HTTP requests answered.", "route", "method", "code"),
		seconds: seconds(with, "http_request_duration_seconds",
			"How long an HTTP request took; long polls and event streams count as long as they were open.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "route", "method"),
	}
}

// Middleware counts requests by the pattern of their chi route, never by their path. It goes into the router's Use,
// around whatever turns panics into answers. Flushing and http.ResponseController go through it.
func (m *Metrics) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			code := seen.Status()
			if code == 0 { // a handler that writes nothing answers 200
				code = http.StatusOK
			}
			route, method := routeOf(r), among(r.Method, methods())
			m.requests.total.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
			m.requests.seconds.WithLabelValues(route, method).Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(seen, r)
	})
}

// routeOf is known only after the handler: chi fills in the pattern while it routes.
func routeOf(r *http.Request) string {
	route := chi.RouteContext(r.Context())
	if route == nil {
		return unmatched
	}
	if pattern := route.RoutePattern(); pattern != "" {
		return pattern
	}
	return unmatched
}
