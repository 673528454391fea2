package e2e

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/internal/dbtest"
)

// secureTarget is a target behind TLS whose certificate is trusted only on request.
func secureTarget(t *testing.T) (address, ca string) {
	t.Helper()
	var version atomic.Value
	version.Store("v1")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /deploy", func(_ http.ResponseWriter, r *http.Request) {
		var call struct{ Version string }
		if json.NewDecoder(r.Body).Decode(&call) == nil {
			version.Store(call.Version)
		}
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{"version": version.Load()})
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func TestTLS_TrustsOnlyNamedPrivateCA(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	address, ca := secureTarget(t)
	body := object{
		"service": "trusted", "version": "v2", "targets": []object{{"id": "web-1", "address": address}}, "deploy": object{"retries": 0},
		"health_checks": []object{{"type": "http", "interval": "20ms", "version_pointer": "/version"}}, "healthy_deadline": "5s",
		"tls": object{"ca": ca},
	}
	if d := p.awaitEnd(p.post(body).ID); d.State != "completed" {
		t.Errorf("with the CA: %s: %s", d.State, d.Reason)
	}
	delete(body, "tls")
	body["service"], body["version"] = "doubted", "v3"
	d := p.awaitEnd(p.post(body).ID)
	if d.State == "completed" || d.Result == nil || len(d.Result.Errors) == 0 || !strings.Contains(d.Result.Errors[0].Message, "certificate") {
		t.Errorf("without the CA: %s: %+v", d.State, d.Result)
	}
	answer := p.call("POST", "/deployments", object{"service": "s", "version": "v", "targets": body["targets"], "tls": object{"ca": "no PEM"}})
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a CA that is none: HTTP %d", answer.StatusCode)
	}
}
