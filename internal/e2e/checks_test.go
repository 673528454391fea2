package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// companion runs beside a target and reports its health in the ways that are not HTTP's own: worse once it runs badOn.
type companion struct {
	grpc_health_v1.UnimplementedHealthServer
	target *testtarget.Target
	badOn  string
	port   int
	url    string
}

func beside(t *testing.T, target *testtarget.Target, badOn string) *companion {
	t.Helper()
	c := &companion{target: target, badOn: badOn}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it listens on TCP
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, c)
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(server.Stop)
	stats := httptest.NewServer(http.HandlerFunc(c.stats))
	t.Cleanup(stats.Close)
	c.url = stats.URL
	return c
}

func (c *companion) bad() bool { return c.target.Version() == c.badOn }

// Check implements grpc_health_v1.HealthServer.
func (c *companion) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if c.bad() {
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}, nil
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func (c *companion) stats(w http.ResponseWriter, r *http.Request) {
	used := 40
	if c.bad() {
		used = 95
	}
	if r.URL.Path == "/metrics" {
		_, _ = fmt.Fprintf(w, "# TYPE memory_used_percent gauge\nmemory_used_percent %d\n", used) // who left needs no answer
		return
	}
	_ = json.NewEncoder(w).Encode(object{"memory": object{"used": used}}) // as above
}

// fits is a program that fails when the target runs the version that it is given.
func fits(t *testing.T) (flag string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fits")
	const script = "#!/bin/sh\nif curl -s \"$ROLLCALL_ADDRESS/version\" | grep -q \"\\\"$1\\\"\"; then echo \"does not like $1\"; exit 3; fi\necho likes it\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return "--allow-command=fits=" + path
}

// kinds are one check of each type that is not HTTP's own, and what is said of it when it fails.
func (c *companion) kinds() map[string]struct {
	check object
	says  string
} {
	return map[string]struct {
		check object
		says  string
	}{
		"grpc":       {object{"type": "grpc", "port": c.port}, "NOT_SERVING"},
		"json":       {object{"type": "metric", "url": c.url + "/stats", "pointer": "/memory/used", "fail_above": 90}, "95, above 90"},
		"prometheus": {object{"type": "metric", "url": c.url + "/metrics", "metric": "memory_used_percent", "fail_above": 90}, "95, above 90"},
		"command":    {object{"type": "command", "command": "fits", "args": []string{c.badOn}}, "exit code 3: does not like v2"},
	}
}

func TestChecks_EachTypeDecides(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), fits(t))
	for _, name := range []string{"grpc", "json", "prometheus", "command"} {
		for _, version := range []string{"v2", "v3"} {
			t.Run(name+" to "+version, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, 1, "v1")
				kind := beside(t, f.Targets[0], "v2").kinds()[name]
				kind.check["name"], kind.check["interval"] = "beside", "50ms"
				body := request(f, version, object{"type": "rolling"})
				body["service"], body["healthy_deadline"] = name+"-"+version, "2s"
				body["health_checks"] = append(part[[]object](body, "health_checks"), kind.check)
				d := p.awaitEnd(p.post(body).ID)
				if version == "v3" {
					assertEnd(p, d, "completed", true)
					assertRuns(t, f, allRun("v3"))
					return
				}
				assertEnd(p, d, "rolled_back", false)
				assertRuns(t, f, allRun("v1"))
				if !strings.Contains(d.Reason, "check beside: ") || !strings.Contains(d.Reason, kind.says) {
					t.Errorf("the reason is %q", d.Reason)
				}
			})
		}
	}
}

// reported is where a person sees how the only target of a service feels: its result, the service's status, and the event.
func (p *process) reported(service, id string) [3]string {
	p.t.Helper()
	var seen [3]string
	for _, r := range list[struct{ Health string }](p, "/deployments/"+id+"/targets") {
		seen[0] += r.Health
	}
	var status struct{ Targets []struct{ Health string } }
	call(p.t, http.MethodGet, p.url+"/services/"+service+"/environments/production/status", nil, &status)
	for _, target := range status.Targets {
		seen[1] += target.Health
	}
	for _, e := range list[struct{ Type, Message string }](p, "/deployments/"+id+"/events") {
		if e.Type == "target.verified" {
			seen[2] += e.Message
		}
	}
	return seen
}

func TestChecks_DegradedPassesWithReason(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), fits(t))
	for name, c := range map[string]struct {
		change func(kinds map[string]object)
		says   string
	}{
		"all-well": {func(kinds map[string]object) { delete(kinds, "command") }, ""},
		"a-warning": {func(kinds map[string]object) {
			kinds["command"] = object{"type": "metric", "url": kinds["json"]["url"], "pointer": "/memory/used", "warn_above": 90}
		}, "/memory/used is 95, above 90"},
		"not-critical": {func(kinds map[string]object) { kinds["command"]["critical"] = false }, "exit code 3: does not like v2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1, "v1")
			beside := beside(t, f.Targets[0], "v2")
			kinds := map[string]object{"json": {"url": beside.url}, "command": beside.kinds()["command"].check}
			c.change(kinds)
			body := request(f, "v2", object{"type": "rolling"})
			body["service"] = name
			checks := append(part[[]object](body, "health_checks"), object{"type": "tcp", "interval": "50ms"})
			if last := kinds["command"]; last != nil {
				last["name"], last["interval"] = "last", "50ms"
				checks = append(checks, last)
			}
			body["health_checks"] = checks
			d := p.awaitEnd(p.post(body).ID)
			assertEnd(p, d, "completed", true)
			assertRuns(t, f, allRun("v2"))
			want := [3]string{"healthy", "healthy", "runs v2, healthy"}
			if c.says != "" {
				want = [3]string{"degraded", "degraded", "runs v2, degraded: check last: " + c.says}
			}
			if got := p.reported(name, d.ID); !strings.HasPrefix(got[2], want[2]) || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("reported as %q, not %q", got, want)
			}
		})
	}
}

func TestChecks_TryBeforeRegistering(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), fits(t))
	f := newFleet(t, 1, "v2")
	beside := beside(t, f.Targets[0], "v2")
	checks := []object{{"type": "http", "version_pointer": "/version"}, {"type": "tcp"}, {"type": "none"}}
	unhealthy := []string{"grpc", "json", "prometheus", "command"}
	for _, name := range unhealthy {
		check := beside.kinds()[name].check
		check["name"] = name
		checks = append(checks, check)
	}
	try := func(critical bool, want string) {
		t.Helper()
		for _, check := range checks[3:] {
			check["critical"] = critical
		}
		var tried struct {
			Status string
			Checks []struct {
				Name, Type, Status, Message string
				Latency                     *float64 `json:"latency_ms"`
				Version                     *string
			}
		}
		res, data := call(t, http.MethodPost, p.url+"/checks", object{"address": f.Targets[0].URL(), "health_checks": checks}, &tried)
		if res.StatusCode != http.StatusOK || tried.Status != want || len(tried.Checks) != len(checks) {
			t.Fatalf("answered %d %s, not %s", res.StatusCode, data, want)
		}
		for i, got := range tried.Checks {
			unhealthy := want != "healthy" && i >= 3
			says := beside.kinds()[got.Name].says
			if got.Latency == nil || *got.Latency < 0 || (got.Status == "healthy") == (unhealthy || got.Type == "none") || unhealthy && !strings.Contains(got.Message, says) {
				t.Errorf("%s: %+v", want, got)
			}
		}
		if got := tried.Checks[0]; got.Version == nil || *got.Version != f.Targets[0].Version() {
			t.Errorf("the target says that it runs %v", got.Version)
		}
	}
	try(true, "unhealthy")
	try(false, "degraded")
	f.Targets[0].SetVersion("v3")
	try(true, "healthy")
	if calls, all := len(f.Calls()), list[deployment](p, "/deployments"); calls > 0 || len(all) > 0 {
		t.Errorf("%d calls, %d deployments", calls, len(all))
	}
}
