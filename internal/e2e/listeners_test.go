package e2e

import (
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

// status is what a stranger is answered at an address.
func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Authorization"] = []string{} // so that the tests' own token is not sent
	return send(t, req, nil)
}

// profiles are the paths that show what the process does.
func profiles() []string {
	return []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=1"}
}

func TestListeners_ProfilesOnSecondOnly(t *testing.T) {
	t.Parallel()
	admin := unusedAddress(t)
	p := serve(t, dbtest.New(t), "--admin-addr="+admin)
	for _, path := range profiles() {
		if got := p.with(adminToken, http.MethodGet, path, nil, nil); got != http.StatusNotFound {
			t.Errorf("%s on the main address: %d", path, got)
		}
		if got := status(t, "http://"+admin+path); got != http.StatusOK {
			t.Errorf("%s on the second: %d", path, got)
		}
	}
	if got := status(t, "http://"+admin+"/metrics"); got != http.StatusOK {
		t.Errorf("metrics on the second address: %d", got)
	}
	if got := p.with(adminToken, http.MethodGet, "/metrics", nil, nil); got != http.StatusNotFound {
		t.Errorf("metrics are on the main address, too: %d", got)
	}
	if got := status(t, "http://"+admin+"/deployments"); got != http.StatusNotFound {
		t.Errorf("the API is on the second address, which wants no token: %d", got)
	}
}

func TestListeners_SingleServesMetricsToViewers(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	for _, path := range profiles() {
		if got := p.with(adminToken, http.MethodGet, path, nil, nil); got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
	var viewer struct{ Token string }
	p.with(adminToken, http.MethodPost, "/tokens", object{"name": "prometheus", "role": "viewer", "scopes": []object{{}}}, &viewer)
	for token, want := range map[string]int{"": http.StatusUnauthorized, "rct_wrong": http.StatusUnauthorized, viewer.Token: http.StatusOK} {
		if got := p.with(token, http.MethodGet, "/metrics", nil, nil); got != want {
			t.Errorf("metrics with token %.8q: %d, want %d", token, got, want)
		}
	}
}

// machineAddress is an address of this machine that other machines can call.
func machineAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && !network.IP.IsLoopback() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	t.Skip("this machine has only loopback")
	return ""
}

// A missing host means loopback: what the process does is shown elsewhere only when the operator says so.
func TestListeners_SecondDefaultsToLoopback(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(unusedAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, dbtest.New(t), "--admin-addr=:"+port)
	if got := status(t, "http://127.0.0.1:"+port+"/metrics"); got != http.StatusOK {
		t.Errorf("on loopback: %d", got)
	}
	if conn, err := net.Dial("tcp", net.JoinHostPort(machineAddress(t), port)); err == nil {
		t.Errorf("it takes connections from elsewhere: %v", conn.Close())
	}
}

func TestListeners_DevNeedsLoopback(t *testing.T) {
	t.Parallel()
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "example.com:8080"} {
		for _, token := range []string{"", adminToken} {
			cmd := exec.CommandContext(t.Context(), binary, "--dev", "--addr="+address, "--admin-token="+token, "--state-dir="+t.TempDir())
			cmd.Env = []string{}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "only on loopback, not on "+address) {
				t.Errorf("%s: %v, %s", address, err, out)
			}
		}
	}
}
