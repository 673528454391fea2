package containers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/slowtest"
)

func TestCompose_RolloutsSurviveFaults(t *testing.T) {
	slowtest.RequireEngine(t)
	s := up(t)
	for _, fault := range []struct {
		name, version string
		strike        func(s *stack, owner string)
	}{
		{"server killed", "v1", func(s *stack, owner string) {
			docker(s.t, "kill", "--signal=KILL", s.container(owner))
			docker(s.t, "start", s.container(owner))
		}},
		{"database killed", "v2", func(s *stack, _ string) {
			docker(s.t, "kill", "--signal=KILL", s.container("postgres"))
			docker(s.t, "start", s.container("postgres"))
		}},
		{"database cut off", "v3", func(s *stack, _ string) { s.cutOff("postgres") }},
		{"server cut off", "v4", func(s *stack, owner string) { s.cutOff(owner) }},
		{"server and database parted", "v9", func(s *stack, owner string) {
			heal := s.part(owner, "postgres")
			s.awaitUnready(owner)
			heal()
		}},
		{"all restarted", "v5", func(s *stack, _ string) { s.compose("restart", "postgres", "server-1", "server-2") }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			inner := *s
			inner.t = t
			d := inner.deploy("server-1", fault.version)
			fault.strike(&inner, inner.owner(inner.awaitWork(d.ID)))
			inner.assertEndsWell(d.ID, fault.version)
		})
	}
	t.Run("random partitions", func(t *testing.T) {
		inner := *s
		inner.t = t
		inner.partAtRandom()
	})
	t.Run("through either server", func(t *testing.T) {
		inner := *s
		inner.t = t
		for server, version := range map[string]string{"server-1": "v6", "server-2": "v7"} {
			inner.assertEndsWell(inner.deploy(server, version).ID, version)
		}
	})
	t.Run("upgraded", func(t *testing.T) {
		inner := *s
		inner.t, inner.env = t, append(s.env, "ROLLCALL_VERSION=next")
		before := inner.container("server-1")
		d := inner.deploy("server-2", "v8")
		inner.awaitWork(d.ID)
		inner.compose("up", "--build", "--detach")
		inner.assertEndsWell(d.ID, "v8")
		if after := inner.container("server-1"); after == before || inner.label(after) != "next" {
			t.Errorf("the server was not replaced: %s is of version %s", after, inner.label(after))
		}
	})
	t.Run("demo", func(t *testing.T) {
		inner := *s
		inner.t, inner.env = t, append(s.env, "ROLLCALL_VERSION=next")
		if out := inner.compose("--profile=demo", "up", "--no-color", "demo"); !strings.Contains(out, "completed in") {
			t.Errorf("the demo does not complete:\n%s", out)
		}
	})
	t.Run("confined", func(t *testing.T) {
		inner := *s
		inner.t = t
		inner.assertConfined(t)
	})
}

// part drops what two services send to each other, as a network that is cut between them does; others reach both.
func (s *stack) part(service, other string) (heal func()) {
	s.t.Helper()
	pid := docker(s.t, "inspect", "--format={{.State.Pid}}", s.container(service))
	address := docker(s.t, "inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", s.container(other))
	change := func(how string) {
		for _, rule := range [][]string{{"OUTPUT", "--destination"}, {"INPUT", "--source"}} {
			args := []string{"--target=" + pid, "--net", "iptables", "--wait", how, rule[0], rule[1], address, "--jump", "DROP"}
			if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
				s.t.Fatalf("nsenter %v: %v %s", args, err, out)
			}
		}
	}
	change("--insert")
	return func() { change("--delete") }
}

// awaitUnready waits until a server has noticed that its database is away.
func (s *stack) awaitUnready(owner string) {
	s.t.Helper()
	s.until("notice that the database is away", func() (string, bool) {
		status, _ := s.ask(owner, http.MethodGet, "/readyz", nil, "")
		return "it is ready", status != http.StatusOK
	})
}

// partitionsFor is how long networks are cut at random, unless CHAOS_TIME says.
const partitionsFor = 20 * time.Second

// partAtRandom cuts the network between random services, one cut after the other, while deployments run, for a time.
func (s *stack) partAtRandom() {
	s.t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("CHAOS_TIME"), partitionsFor.String()))
	if err != nil {
		s.t.Fatal(err)
	}
	seed := rand.Uint64()
	if given, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64); err == nil {
		seed = given
	}
	rng, rollouts, cuts := rand.New(rand.NewPCG(seed, 0)), 0, 0
	for end := time.Now().Add(d); time.Now().Before(end) && !s.t.Failed(); rollouts++ {
		version := fmt.Sprintf("p%d", rollouts)
		server := fmt.Sprintf("server-%d", 1+rng.IntN(2))
		created := s.deploy(server, version)
		for !s.ended(created.ID) {
			heal := s.part(fmt.Sprintf("server-%d", 1+rng.IntN(2)), "postgres")
			s.pause(time.Duration(rng.IntN(12_000)) * time.Millisecond)
			heal()
			s.pause(time.Duration(rng.IntN(3000)) * time.Millisecond)
			cuts++
		}
		s.assertEndsWell(created.ID, version)
	}
	s.t.Logf("CHAOS_SEED=%d: %d rollouts, %d cuts", seed, rollouts, cuts)
}

// ended reports whether a deployment has ended, as far as any server can say.
func (s *stack) ended(id string) bool {
	s.t.Helper()
	for server := range servers() {
		if status, d := s.ask(server, http.MethodGet, "/deployments/"+id, nil, ""); status == http.StatusOK && d.Result != nil {
			return true
		}
	}
	return false
}

func (s *stack) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.t.Context().Done():
	}
}

// cutOff takes a service off the network, and brings it back when the others have had to do without it for a lease.
func (s *stack) cutOff(service string) {
	s.t.Helper()
	container := s.container(service)
	docker(s.t, "network", "disconnect", s.network(), container)
	s.awaitNotReady()
	docker(s.t, "network", "connect", "--alias="+service, s.network(), container)
}

// awaitNotReady waits until a server says, by not being ready or not answering, that something is away.
func (s *stack) awaitNotReady() {
	s.t.Helper()
	s.until("notice what is away", func() (string, bool) {
		for server := range servers() {
			if status, _ := s.ask(server, http.MethodGet, "/readyz", nil, ""); status != http.StatusOK {
				return "", true
			}
		}
		return "all are ready", false
	})
}

func (s *stack) label(container string) string {
	s.t.Helper()
	return docker(s.t, "inspect", `--format={{index .Config.Labels "org.opencontainers.image.version"}}`, container)
}

// assertConfined checks what a server's container may do, and that it stops when it is asked to.
func (s *stack) assertConfined(t *testing.T) {
	t.Helper()
	container := s.container("server-1")
	s.until("be healthy", func() (string, bool) {
		health := docker(t, "inspect", "--format={{.State.Health.Status}}", container)
		return health, health == "healthy"
	})
	if id := docker(t, "exec", container, "id", "-u"); id != "65532" {
		t.Errorf("it runs as %s", id)
	}
	docker(t, "exec", container, "touch", "/tmp/x")
	if out := docker(t, "exec", container, "sh", "-c", "touch /x /usr/local/bin/x 2>&1 || true"); strings.Count(out, "Read-only file system") != 2 {
		t.Errorf("its root file system can be written to: %s", out)
	}
	status := docker(t, "exec", container, "cat", "/proc/1/status")
	for _, fact := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, fact) {
			t.Errorf("not %q:\n%s", fact, status)
		}
	}
	if !strings.Contains(docker(t, "logs", container), "cannot change events") {
		t.Error("the server's role may do more than it needs")
	}
	docker(t, "stop", "--time=10", container)
	var state struct{ ExitCode int }
	if err := json.Unmarshal([]byte(docker(t, "inspect", "--format={{json .State}}", container)), &state); err != nil || state.ExitCode != 0 {
		t.Errorf("it was killed when it was to stop: exit code %d, %v", state.ExitCode, err)
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(docker(t, "inspect", "--format={{json .Config.Labels}}", container)), &labels); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"title", "description", "version", "revision"} {
		if _, ok := labels["org.opencontainers.image."+name]; !ok {
			t.Errorf("it has no label %s: %v", name, labels)
		}
	}
}

func TestImage_WithoutDatabaseNamesSetting(t *testing.T) {
	slowtest.RequireEngine(t)
	image := buildImage(t)
	for _, args := range [][]string{nil, {"--read-only"}, {"--volume=/state", "--env=ROLLCALL_STATE_DIR=/tmp/state"}} {
		out, code := runToEnd(t, append(append([]string{"run", "--rm"}, args...), image)...)
		if code != 1 || !strings.Contains(out, "DATABASE_URL") || strings.Count(out, "\n") > 1 {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
	}
}
