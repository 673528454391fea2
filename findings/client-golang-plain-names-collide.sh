#!/usr/bin/env bash
# client_golang: two metrics with different names are one series on the page that every exporter serves by default.
#
# Package:  github.com/prometheus/client_golang v1.25.0, with prometheus/common v0.72.0, from the Go module proxy.
# Expected: a registry that takes "queue.size" and "queue_size" serves a page on which they can be told apart, or refuses the
#           second, or answers with an error (HandlerOpts.ErrorHandling is HTTPErrorOnError, which is also the default).
# Seen:     both are registered. Who asks for "text/plain; version=0.0.4", as Prometheus before 3.0, curl and most other readers do,
#           gets 200 and both as "queue_size", with two HELP and two TYPE lines and two values for the same series; the parser of
#           prometheus/common refuses that page ("second HELP line"). With "escaping=allow-utf-8" the page is right.
# Matters:  a limit on "queue_size" is compared with the other metric, too, and who reads the page strictly reads none of it.
#
# Needs: go, and the module proxy. Exits 0 while the library behaves so, 1 once it does not.
set -euo pipefail

dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	registry := prometheus.NewRegistry()
	for i, name := range []string{"queue.size", "queue_size"} {
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "the metric " + name})
		gauge.Set(float64(i + 1))
		fmt.Printf("register %q: %v\n", name, registry.Register(gauge))
	}
	for _, accept := range []string{"text/plain; version=0.0.4", "text/plain; version=1.0.0; escaping=allow-utf-8"} {
		ask := httptest.NewRequest("GET", "/metrics", nil)
		ask.Header.Set("Accept", accept)
		answer := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, ask)
		page := answer.Body.String()
		parser := expfmt.NewTextParser(model.UTF8Validation)
		_, err := parser.TextToMetricFamilies(strings.NewReader(page))
		fmt.Printf("\nAccept: %s\nHTTP %d, %s\n%sparsed: %v\n", accept, answer.Code, answer.Header().Get("Content-Type"), page, err)
	}
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26

require (
	github.com/prometheus/client_golang v1.25.0
	github.com/prometheus/common v0.72.0
)
MOD
export GOFLAGS=-mod=mod GOWORK=off
go mod tidy 2>/dev/null
go run . | tee out

plain="$(sed -n '/version=0.0.4$/,/^parsed/p' out)"
[[ "$(grep -c '^queue_size ' <<<"$plain")" == 2 ]] && grep -q '^HTTP 200' <<<"$plain" && grep -q '^parsed: .*second HELP' <<<"$plain"
