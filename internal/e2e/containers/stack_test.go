package containers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/testtarget"
)

// stack is what docker-compose.yml describes, running.
type stack struct {
	t       *testing.T
	folder  string
	project string
	program []string
	env     []string
	token   string
	fleet   *testtarget.Fleet
}

// servers are where docker-compose.yml publishes the two servers.
func servers() map[string]string {
	return map[string]string{"server-1": "http://127.0.0.1:8081", "server-2": "http://127.0.0.1:8082"}
}

// up starts everything as the head of docker-compose.yml says, and a fleet of targets outside, which records what it is sent.
func up(t *testing.T) *stack {
	t.Helper()
	s := &stack{
		t: t, folder: checkout(t), project: fmt.Sprintf("rollcall-test-%d", os.Getpid()), program: composeProgram(t),
		env: append(os.Environ(), moduleSettings(t)...),
	}
	s.token = s.makeSecrets()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines:\n%s", s.compose("logs", "--tail=30"))
		}
		s.compose("--profile=demo", "down", "--volumes", "--timeout=10")
	})
	s.compose("up", "--build", "--detach")
	s.fleet = s.listen(6)
	return s
}

// makeSecrets makes the secrets, twice: what is there stays. It returns the admin token.
func (s *stack) makeSecrets() string {
	s.t.Helper()
	folder := filepath.Join(s.folder, "secrets")
	var tokens []string
	for range 2 {
		secrets := exec.CommandContext(s.t.Context(), "scripts/compose-secrets")
		secrets.Dir = s.folder
		if out, err := secrets.CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
		token, err := os.ReadFile(filepath.Join(folder, "admin-token"))
		if err != nil {
			s.t.Fatal(err)
		}
		tokens = append(tokens, strings.TrimSpace(string(token)))
	}
	if tokens[0] != tokens[1] {
		s.t.Error("the secrets were replaced")
	}
	for name, want := range map[string]os.FileMode{"admin-token": 0o640, "secret-key": 0o640, "owner.pgpass": 0o640, "": 0o700} {
		if st, err := os.Stat(filepath.Join(folder, name)); err != nil || st.Mode().Perm() != want {
			s.t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	return tokens[1]
}

// compose runs Docker Compose to its end.
func (s *stack) compose(args ...string) string {
	s.t.Helper()
	all := append(append(s.program[1:len(s.program):len(s.program)], "--project-name="+s.project), args...)
	cmd := exec.Command(s.program[0], all...)
	cmd.Dir, cmd.Env = s.folder, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// container returns the id of a service's container.
func (s *stack) container(service string) string {
	s.t.Helper()
	return docker(s.t, "ps", "--all", "--quiet", "--filter=label=com.docker.compose.project="+s.project,
		"--filter=label=com.docker.compose.service="+service)
}

func (s *stack) network() string { return s.project + "_default" }

// listen starts targets at the address that this machine has in the containers' network.
func (s *stack) listen(n int) *testtarget.Fleet {
	s.t.Helper()
	gateway := docker(s.t, "network", "inspect", "--format={{(index .IPAM.Config 0).Gateway}}", s.network())
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = gateway + ":0"
	}
	f, err := testtarget.Listen(addresses, "v0")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay, b.Fenced = 300*time.Millisecond, true })
	}
	s.t.Cleanup(func() { _ = f.Close() })
	return f
}

type object = map[string]any

// deployment is what is read of one.
type deployment struct {
	ID, State, Reason string
	Owner             *string
	Progress          struct {
		Updated int `json:"targets_updated"`
	}
	Result *struct {
		Success bool
		Updated int `json:"targets_updated"`
	}
}

// ask sends a request to one server; status 0 means that nothing came back.
func (s *stack) ask(server, method, path string, body any, key string) (status int, d deployment) {
	s.t.Helper()
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, servers()[server]+path, bytes.NewReader(payload))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return 0, d
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, d
	}
	if res.StatusCode/100 == 2 {
		if err := json.Unmarshal(answer, &d); err != nil {
			s.t.Fatalf("%s: %v", answer, err)
		}
	} else {
		d.Reason = string(answer)
	}
	return res.StatusCode, d
}

// deploy asks one server for a rolling deployment, one target after another, until it is accepted.
func (s *stack) deploy(server, version string) deployment {
	s.t.Helper()
	var targets []object
	for _, t := range s.fleet.Targets {
		targets = append(targets, object{"id": t.ID, "address": t.URL()})
	}
	body := object{
		"service": "checkout", "environment": "production", "version": version, "targets": targets,
		"strategy": object{"type": "rolling", "batch_size": 1},
		"deploy":   object{"timeout": "10s", "retries": 2, "backoff": "200ms"}, "healthy_deadline": "30s",
		"health_checks": []object{{"type": "http", "path": "/health", "version_pointer": "/version", "interval": "200ms"}},
	}
	var created deployment
	s.until("accept "+version, func() (string, bool) {
		status, d := s.ask(server, http.MethodPost, "/deployments", body, "deploy-"+version)
		created = d
		return fmt.Sprint(status, d.Reason), status == http.StatusAccepted
	})
	return created
}

// await waits until a deployment is as wanted, by whichever server answers.
func (s *stack) await(id, what string, is func(deployment) bool) deployment {
	s.t.Helper()
	var seen deployment
	s.until(what, func() (string, bool) {
		for server := range servers() {
			if status, d := s.ask(server, http.MethodGet, "/deployments/"+id, nil, ""); status == http.StatusOK {
				seen = d
				if is(d) {
					return "", true
				}
			}
		}
		return seen.State + ": " + seen.Reason, false
	})
	return seen
}

// awaitWork waits until a deployment has updated targets, but not yet many.
func (s *stack) awaitWork(id string) deployment {
	s.t.Helper()
	return s.await(id, "update a target", func(d deployment) bool { return d.Progress.Updated > 0 })
}

// until tries again and again, for as long as everything may take to come back.
func (s *stack) until(what string, try func() (state string, done bool)) {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	state, done := try()
	for deadline := time.Now().Add(2 * time.Minute); !done; state, done = try() {
		if time.Now().After(deadline) {
			s.t.Fatalf("it does not %s: %s", what, state)
		}
		<-tick.C
	}
}

// owner returns the service whose server works on a deployment: replicas have their container's id as host name.
func (s *stack) owner(d deployment) string {
	s.t.Helper()
	for server := range servers() {
		if d.Owner != nil && strings.Contains(docker(s.t, "logs", s.container(server)), *d.Owner) {
			return server
		}
	}
	s.t.Fatalf("%v owns the deployment, which is no server of these", d.Owner)
	return ""
}

// assertEndsWell waits for a deployment's end and compares it with what the targets saw: it is the same as without faults.
func (s *stack) assertEndsWell(id, version string) {
	s.t.Helper()
	d := s.await(id, "end", func(d deployment) bool { return d.Result != nil })
	if d.State != "completed" || !d.Result.Success || d.Result.Updated != len(s.fleet.Targets) {
		s.t.Errorf("%s ended %s (%s): %+v", version, d.State, d.Reason, *d.Result)
	}
	ids := map[string]map[string]bool{}
	for _, call := range s.fleet.Calls() {
		if call.DeploymentID != id {
			continue
		}
		if ids[call.Target] == nil {
			ids[call.Target] = map[string]bool{}
		}
		ids[call.Target][call.WebhookID] = true
	}
	for _, target := range s.fleet.Targets {
		if target.Version() != version {
			s.t.Errorf("%s runs %s, not %s", target.ID, target.Version(), version)
		}
		if len(ids[target.ID]) != 1 {
			s.t.Errorf("%s was called under %d ids, not one", target.ID, len(ids[target.ID]))
		}
	}
}
