package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// unmatched is the label of every path without a route.
const unmatched = "unmatched"

// requests holds the metrics of HTTP requests.
type requests struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newRequests(with promauto.Factory) requests {
	return requests{
		total: newCounters(with, "http_requests_total", "HTTP requests by route pattern, pages (/ui/…) included; what a page requests from the API counts as well.", "route", "method", "code"),
		seconds: newHistograms(with, "http_request_duration_seconds",
			"Duration of an HTTP request; long polls and event streams count for as long as they were open.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "route", "method"),
	}
}

// Middleware counts requests by the pattern of their route, never by their path: that of chi, or of the http.ServeMux that it
// is around. It goes into the router's Use, around whatever turns panics into answers. Flushing and http.ResponseController go through it.
func (m *Metrics) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			code := seen.Status()
			if code == 0 { // a handler that writes nothing answers 200
				code = http.StatusOK
			}
			route, method := routeOf(r), allowedLabel(r.Method, httpMethods())
			m.requests.total.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
			m.requests.seconds.WithLabelValues(route, method).Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(seen, r)
	})
}

// routeOf returns the route's pattern, once the handler is done: routers fill it in while they route.
func routeOf(r *http.Request) string {
	pattern := r.Pattern
	if route := chi.RouteContext(r.Context()); route != nil {
		pattern = route.RoutePattern()
	}
	if _, path, withMethod := strings.Cut(pattern, " "); withMethod {
		pattern = path
	}
	if pattern == "" {
		return unmatched
	}
	return pattern
}
