package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
)

const receiverKey = "a key of adnanh/webhook"

// adnanh is an adnanh/webhook with the example's configuration.
type adnanh struct {
	address, state string
}

func startAdnanh(t *testing.T) adnanh {
	t.Helper()
	program := shellOrSkip(t, "webhook")
	folder, err := filepath.Abs(filepath.Join(examples, "receivers", "adnanh-webhook"))
	if err != nil {
		t.Fatal(err)
	}
	a := adnanh{address: freeAddress(t), state: t.TempDir()}
	_, port, _ := strings.Cut(a.address, ":")
	run := exec.CommandContext(t.Context(), program, "-hooks", filepath.Join(folder, "hooks.yaml"), "-template", "-urlprefix", "hooks",
		"-ip", "127.0.0.1", "-port", port)
	run.Env = append(os.Environ(), "DEPLOY_KEY="+receiverKey, "DEPLOY_STATE="+a.state, "DEPLOY_SCRIPT="+filepath.Join(folder, "deploy.sh"))
	run.Stdout, run.Stderr = t.Output(), t.Output()
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	awaitFact(t, "webhook listens", func() bool {
		answer, err := http.Get("http://" + a.address)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
	return a
}

func (a adnanh) version() string {
	text, _ := os.ReadFile(filepath.Join(a.state, "version"))
	return string(text)
}

// receiving is a request for three of them, with the deploy of the example.
func receiving(t *testing.T, version string, strategy object, receivers []adnanh) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, "receivers", "adnanh-webhook", "deploy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var deploy object
	if err := json.Unmarshal(text, &deploy); err != nil {
		t.Fatal(err)
	}
	deploy["secret"], deploy["backoff"], deploy["timeout"] = receiverKey, "50ms", "10s"
	var targets []object
	for i, r := range receivers {
		targets = append(targets, object{"id": string(rune('a' + i)), "address": "http://" + r.address})
	}
	return object{
		"service": "checkout", "environment": "production", "version": version, "strategy": strategy, "targets": targets,
		"deploy": deploy, "health_checks": []object{{"type": "none"}},
	}
}

func TestReceivers_AdnanhWebhookIsRolledOutAndBack(t *testing.T) {
	t.Parallel()
	receivers := []adnanh{startAdnanh(t), startAdnanh(t), startAdnanh(t)}
	p := serve(t, dbtest.New(t))
	expect := func(id, state, version string) {
		t.Helper()
		if d := p.awaitEnd(id); d.State != state {
			t.Fatalf("ended %s (%s): %+v", d.State, d.Reason, d.Result)
		}
		for i, r := range receivers {
			if r.version() != version {
				t.Errorf("receiver %d runs %q, want %q", i, r.version(), version)
			}
		}
	}
	expect(p.post(receiving(t, "v1", object{"type": "rolling"}, receivers)).ID, "completed", "v1")
	canary := object{"type": "canary", "stages": []int{30, 100}, "stage_duration": "100ms"}
	second := p.post(receiving(t, "v2+build.5", canary, receivers))
	expect(second.ID, "completed", "v2+build.5")
	p.rollcall(t, "verify", second.ID).want(0)
	for _, e := range list[struct {
		Type string
		Call struct {
			Request struct {
				Method, URL string
				BodySHA256  string `json:"body_sha256"`
			}
		}
	}](p, "/deployments/"+second.ID+"/events") {
		if r := e.Call.Request; e.Type == "target.intent" && (r.Method != http.MethodPost || !strings.HasSuffix(r.URL, "/hooks/deploy") || len(r.BodySHA256) != 64) {
			t.Errorf("the intent is recorded as %+v", r)
		}
	}
	expect(p.ask("/deployments/"+second.ID+"/rollback", http.StatusAccepted).ID, "rolled_back", "v1")

	forged := receiving(t, "v3", object{"type": "rolling", "on_failure": "halt"}, receivers)
	part[object](forged, "deploy")["secret"] = "the key of another receiver"
	expect(p.post(forged).ID, "failed", "v1")
}

// deployScript is a script of the examples, and the program that it runs, which writes down its arguments.
type deployScript struct {
	t             *testing.T
	path, program string
	root, state   string
}

func newDeployScript(t *testing.T, name, program string) deployScript {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(examples, "receivers", name))
	if err != nil {
		t.Fatal(err)
	}
	s := deployScript{t: t, path: path, program: program, root: t.TempDir(), state: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(s.root, "checkout", "v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.install(0)
	return s
}

// install has the program end with an exit code.
func (s deployScript) install(code int) {
	s.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s/called\nexit %d\n", s.state, code)
	if err := os.WriteFile(filepath.Join(s.root, s.program), []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// answers runs the script, and returns what it prints and how often the program has been run.
func (s deployScript) answers(version, fence string) (answer string, calls int) {
	s.t.Helper()
	run := exec.CommandContext(s.t.Context(), s.path, version, fence)
	run.Env = append(os.Environ(), "PATH="+s.root+":"+os.Getenv("PATH"), "DEPLOY_STATE="+s.state, "DEPLOY_ROOT="+s.root)
	out, err := run.Output()
	if err != nil {
		s.t.Fatal(err)
	}
	called, _ := os.ReadFile(filepath.Join(s.state, "called"))
	return strings.TrimSpace(string(out)), strings.Count(string(called), "\n")
}

func TestReceivers_ScriptsCheckFenceAndVersion(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{"systemd.sh": "systemctl", "compose.sh": "docker"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newDeployScript(t, name, program)
			answer, calls := s.answers("v1", "1764000000123")
			if answer != `{"status":"deployed"}` || calls == 0 {
				t.Fatalf("%s after %d calls", answer, calls)
			}
			for _, refused := range []struct{ version, fence, want string }{
				{"v1", "1764000000122", "outdated"}, {"../v1", "1764000000124", "failed"}, {"v1;id", "1764000000125", "failed"}, {"", "1764000000126", "failed"},
			} {
				if answer, after := s.answers(refused.version, refused.fence); answer != `{"status":"`+refused.want+`"}` || after != calls {
					t.Errorf("%q with fence %s: %s after %d calls", refused.version, refused.fence, answer, after)
				}
			}
			s.install(1)
			if answer, _ := s.answers("v1", "1764000000127"); answer != `{"status":"failed"}` {
				t.Errorf("a program that fails: %s", answer)
			}
		})
	}
}
