package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// ran is what came of one run of the command line.
type ran struct {
	t        *testing.T
	args     []string
	code     int
	out, err string
}

// command is the command line, asking the server at url.
func command(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, commandLine, args...)
	cmd.Env = append(os.Environ(), "ROLLCALL_URL="+url, "ROLLCALL_TOKEN="+adminToken, "ROLLCALL_PATIENCE=30s", "TERM=xterm")
	return cmd
}

// rollcall runs the command line to its end.
func (p *process) rollcall(t *testing.T, args ...string) ran {
	t.Helper()
	return finish(t, command(t, p.url, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) ran {
	t.Helper()
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ran{t: t, args: cmd.Args[1:], code: cmd.ProcessState.ExitCode(), out: out.String(), err: complaints.String()}
}

// want fails the test unless the run ended with the code and said each of these.
func (r ran) want(code int, says ...string) ran {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("%v left with %d, want %d:\n%s%s", r.args, r.code, code, r.out, r.err)
	}
	for _, text := range says {
		if !strings.Contains(r.out+r.err, text) {
			r.t.Errorf("%v does not say %q:\n%s%s", r.args, text, r.out, r.err)
		}
	}
	return r
}

// id is the first word that was printed.
func (r ran) id() string {
	r.t.Helper()
	id, _, _ := strings.Cut(r.out, " ")
	return id
}

// decoded is what was printed, as JSON.
func decoded[T any](r ran) (value T) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), &value); err != nil {
		r.t.Fatalf("%v printed %s: %v", r.args, r.out, err)
	}
	return value
}

// release writes a request into a file.
func release(t *testing.T, body object) string {
	t.Helper()
	data, err := json.Marshal(body) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	return written(t, "release.yaml", string(data))
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCLI_DrivesWholeDeployment(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 4, "v1")
	p := serve(t, dbtest.New(t))
	file := release(t, request(f, "v2", object{"type": "rolling", "batch_size": 2}))

	p.rollcall(t, "plan", "-f", file).want(0, "WAVE", "web-1", "50% of the targets stay in service", "first call, of web-1:", "/deploy\n  Content-Type: application/json")
	first := p.rollcall(t, "deploy", "-f", file, "--wait", "--label=commit=abc").want(0, "4/4 updated, wave 2/2", "completed after")
	assertRuns(t, f, func(int) string { return "v2" })
	p.rollcall(t, "status", "checkout").want(0, "checkout in production runs v2", "web-4", "healthy", "last deployment:")
	p.rollcall(t, "services").want(0, "checkout", "v2", "completed")
	p.rollcall(t, "stats", "checkout", "--window=1h").want(0, "PER DAY", "checkout  production", "24.00", "0.0%", "all")
	p.rollcall(t, "stats", "--window=soon").want(2, "/window")

	canary := `{"type":"canary","stages":[{"percent":25,"duration":"0s","promotion":"manual"},{"percent":50,"duration":"0s","promotion":"manual"},100],"stage_duration":"0s"}`
	body := request(f, "v3", nil)
	body["strategy"] = json.RawMessage(canary)
	id := p.rollcall(t, "deploy", "-f", release(t, body)).want(0, "pending").id()
	p.awaitGate(id, 1)
	p.rollcall(t, "status", id).want(0, "waiting for promotion", "1/4 updated")
	p.rollcall(t, "pause", id, "-m", "lunch").want(0, "paused")
	p.rollcall(t, "resume", "checkout").want(0, id)
	p.rollcall(t, "promote", id).want(0, id)
	p.awaitGate(id, 2)
	p.rollcall(t, "promote", "checkout", "--wait").want(0, "completed")
	assertRuns(t, f, func(int) string { return "v3" })
	p.rollcall(t, "events", id).want(0, "deployment.paused", "lunch", "gate.waiting", "target.intent", "pending → deploying", "deployment.completed")
	p.rollcall(t, "targets", id).want(0, "web-2", "updated", "v3", "v2")
	p.rollcall(t, "rollback", "checkout", "--wait").want(0, "rolled_back")
	assertRuns(t, f, func(int) string { return "v2" })

	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusForbidden })
	failing := release(t, request(f, "v4", object{"type": "rolling", "on_failure": "halt"}))
	p.rollcall(t, "deploy", "-f", failing, "-w").want(1, "failed", "web-3: ")
	p.rollcall(t, "targets", "checkout", "--state=failed").want(0, "web-3")
	f.Targets[2].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = 0 })
	p.rollcall(t, "retry", "checkout", "--wait").want(0, "completed")
	assertRuns(t, f, func(int) string { return "v4" })

	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 200 * time.Millisecond })
	}
	aborted := p.rollcall(t, "deploy", "-f", release(t, request(f, "v5", object{"type": "rolling"}))).want(0).id()
	p.await(aborted, "begun", func(d *deployment) bool { return d.Progress.InFlight > 0 })
	p.rollcall(t, "abort", aborted, "--wait", "-m", "enough").want(1, "aborted")
	p.rollcall(t, "history", "checkout", "--state=completed").want(0, "v2", "v3", "v4")
	all := decoded[struct{ Items []deployment }](p.rollcall(t, "history", "--json", "-n", "0").want(0))
	if n := len(all.Items); n != 6 || all.Items[0].ID != aborted || !strings.Contains(first.out, all.Items[n-1].ID) {
		t.Errorf("%d deployments in the history", n)
	}
}

// awaitGate waits until the deployment waits at a gate in that wave.
func (p *process) awaitGate(id string, wave int) {
	p.t.Helper()
	p.await(id, fmt.Sprintf("at the gate of wave %d", wave), func(d *deployment) bool {
		return d.Progress.Wave == wave && strings.Contains(d.Reason, "waiting for promotion")
	})
}

func TestCLI_JSONOutputIsAPIResponse(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	file := release(t, request(f, "v2", object{"type": "rolling"}))
	d := decoded[deployment](p.rollcall(t, "deploy", "-f", file, "--json", "--wait").want(0))
	if d.State != "completed" || d.Result == nil || !d.Result.Success {
		t.Errorf("%+v", d)
	}
	for _, args := range [][]string{
		{"plan", "-f", file},
		{"status", "checkout"},
		{"status", d.ID},
		{"watch", d.ID},
		{"history"},
		{"targets", d.ID},
		{"events", d.ID},
		{"services"},
		{"rollback", d.ID, "--wait"},
		{"deploy", "-f", file},
	} {
		if got := decoded[object](p.rollcall(t, append(args, "--json")...).want(0)); len(got) == 0 {
			t.Errorf("%v prints nothing", args)
		}
	}
	lines := strings.Split(strings.TrimSpace(p.rollcall(t, "events", d.ID, "--follow", "--json").want(0).out), "\n")
	for i, line := range lines {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != i+1 {
			t.Errorf("line %d is %s", i+1, line)
		}
	}
}

func TestCLI_ExitCodes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "v1")
	p := serve(t, dbtest.New(t))
	good := release(t, request(f, "v2", object{"type": "rolling"}))
	refusing := newFleet(t, 1, "v1")
	refusing.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusForbidden })
	bad := request(refusing, "v2", object{"type": "rolling"})
	bad["service"] = "broken"
	slow := newFleet(t, 1, "v1")
	slow.Targets[0].SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = 4 * time.Second })
	late := request(slow, "v2", object{"type": "rolling"})
	late["service"] = "late"

	done := p.rollcall(t, "deploy", "-f", good, "--wait").want(0, "completed")
	if done.err != "" {
		t.Errorf("complaints about a deployment that went well: %s", done.err)
	}
	p.rollcall(t, "deploy", "-f", release(t, bad), "--wait").want(1, "failed", "web-1: ")
	p.rollcall(t, "watch", "broken").want(1)
	p.rollcall(t, "deploy", "-f", release(t, late), "--wait", "--timeout=1s").want(4, "timed out after 1s", "is still running", "rollcall abort")
	for _, wrong := range [][]string{
		{"deploy"},
		{"deploy", "checkout"},
		{"nonsense"},
		{"deploy", "--wait=maybe"},
		{"deploy", "-f", "/no/such/file"},
		{"deploy", "-f", written(t, "broken.yaml", "service: [")},
		{"deploy", "-f", written(t, "empty.yaml", "")},
		{"deploy", "-f", written(t, "twice.yaml", "service: a\nservice: b\nversion: v1\n")},
		{"deploy", "checkout", "v9", "--set=batch_size=2"},
		{"deploy", "checkout", "v9", "--target=web-1"},
		{"deploy", "UPPER", "v1", "--target=a=http://10.0.0.1"},
		{"status", "never-deployed"},
		{"watch", "never-deployed"},
		{"status", "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11"},
		{"promote", "checkout"},
		{"promote", "checkout", "--wave=1", "--full"},
		{"completion", "tcsh"},
		{"status", "checkout", "--url=nowhere"},
	} {
		r := p.rollcall(t, wrong...).want(2)
		if !strings.HasPrefix(r.err, "rollcall: ") || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v does not complain in one line:\n%s", wrong, r.err)
		}
	}
	unreachable := finish(t, command(t, "http://127.0.0.1:1", "deploy", "-f", good, "--wait", "--patience=300ms"))
	unreachable.want(3, "cannot reach Rollcall at http://127.0.0.1:1")
}

func TestCLI_VersionsInFileStayAsWritten(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	file := written(t, "release.yaml", fmt.Sprintf(`
# a release
service: checkout
version: 2026-01-02
strategy: {type: rolling, bake: 0s}
targets:
  - {id: web-1, address: "%s"}
health_checks: [{type: http, path: /health, version_pointer: /version, interval: 50ms}]
`, f.Targets[0].URL()))
	p.rollcall(t, "deploy", "-f", file, "--wait").want(0)
	if got := f.Targets[0].Version(); got != "2026-01-02" {
		t.Errorf("it runs %q", got)
	}
	p.rollcall(t, "deploy", "-f", file, "checkout", "v3", "--wait").want(0, "checkout in production: v3")
	if got := f.Targets[0].Version(); got != "v3" {
		t.Errorf("the file's version went before the flag's: %q", got)
	}
	p.rollcall(t, "deploy", "shop", "v1", "--target=one="+f.Targets[0].URL(), "--strategy=rolling", "--set=bake=10ms", "--wait", "--json").
		want(0, `"bake": "10ms"`)
}

func TestCLI_SameKeySameDeployment(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	p := serve(t, dbtest.New(t))
	file := release(t, request(f, "v2", object{"type": "rolling"}))
	first := p.rollcall(t, "deploy", "-f", file, "--key=job-7", "--wait").want(0)
	again := p.rollcall(t, "deploy", "-f", file, "--key=job-7", "--json").want(0)
	if id := decoded[deployment](again).ID; !strings.Contains(first.out, id) {
		t.Errorf("the key made another deployment, %s, than\n%s", id, first.out)
	}
}

// running is a command line that has not ended.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
	end chan struct{}
}

// Write keeps what is printed.
func (r *running) Write(data []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(data)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (p *process) begin(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: command(t, p.url, args...), end: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait() // its exit code is asked for where it matters
		close(r.end)
	}()
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); <-r.end })
	return r
}

// awaitSaid waits until a text was printed.
func (r *running) awaitSaid(text string) {
	r.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(40 * time.Second); !strings.Contains(r.said(), text); <-poll.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("it never said %q:\n%s", text, r.said())
		}
	}
}

func (r *running) wantEnd(code int, says ...string) {
	r.t.Helper()
	<-r.end
	ran{t: r.t, args: r.cmd.Args[1:], code: r.cmd.ProcessState.ExitCode(), out: r.said()}.want(code, says...)
}

// freeAddress is one without a listener.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCLI_WaitSurvivesServerRestart(t *testing.T) {
	t.Parallel()
	f := slowly(t, 12)
	database, address := dbtest.New(t), "--addr="+freeAddress(t)
	p := serve(t, database, address)
	r := p.begin(t, "deploy", "-f", release(t, request(f, "v2", object{"type": "rolling"})), "--wait")
	events := p.begin(t, "watch")
	r.awaitSaid("3/12 updated")
	events.awaitSaid("target.verified")
	id := strings.Split(strings.SplitAfterN(r.said(), "deployment ", 2)[1], ")")[0]
	log := p.begin(t, "events", id, "--follow")
	log.awaitSaid("deployment.started")
	p.kill()
	r.awaitSaid("cannot reach the server; retrying")
	serve(t, database, address)
	r.wantEnd(0, "the server is reachable again", "completed after")
	log.wantEnd(0, "deployment.completed")
	all := list[event](p, "/deployments/"+id+"/events")
	for _, e := range all {
		if strings.Count(log.said(), fmt.Sprintf(" %4d  %s", e.Seq, e.Type)) != 1 {
			t.Errorf("event %d, %s, was not printed once", e.Seq, e.Type)
		}
	}
	events.awaitSaid("deployment.completed")
	if err := events.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	events.wantEnd(130)
}

func TestCLI_InterruptReportsDeploymentStillRuns(t *testing.T) {
	t.Parallel()
	f := slowly(t, 8)
	p := serve(t, dbtest.New(t))
	r := p.begin(t, "deploy", "-f", release(t, request(f, "v2", object{"type": "rolling"})), "--wait")
	r.awaitSaid("1/8 updated")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r.wantEnd(130, "interrupted; deployment ", "is still running", "rollcall watch ", "rollcall abort ")
	p.rollcall(t, "watch", "checkout").want(0, "completed")

	gate := object{"type": "canary", "stages": []any{object{"percent": 50, "duration": "0s", "promotion": "manual"}, 100}}
	held := p.begin(t, "deploy", "-f", release(t, request(f, "v3", gate)), "--wait")
	held.awaitSaid("waiting for promotion")
	if err := held.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	held.wantEnd(130, "is paused and needs a command")

	silent := (&process{t: t, url: "http://127.0.0.1:1"}).begin(t, "deploy", "checkout", "v4", "--key=job-8")
	silent.awaitSaid("cannot reach the server; retrying")
	if err := silent.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	silent.wantEnd(130, "interrupted before the server responded", "--key=job-8")
}

func TestCLI_TerminalDrawsBarsInPlace(t *testing.T) {
	t.Parallel()
	const columns = 64
	f := slowly(t, 6)
	p := serve(t, dbtest.New(t))
	cmd := command(t, p.url, "deploy", "-f", release(t, request(f, "v2", object{"type": "rolling", "batch_size": 2})), "--wait")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var shown bytes.Buffer
	if _, err := io.Copy(&shown, terminal); err != nil && !strings.Contains(err.Error(), "input/output error") { // its end, on Linux
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, shown.String())
	}
	text := shown.String()
	for _, want := range []string{"\x1b[3A", "\x1b[2K", "█", "▒", "6/6 updated, wave 3/3", "completed after"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal never showed %q:\n%q", want, text)
		}
	}
	for line := range strings.SplitSeq(text, "\r\x1b[2K") {
		line, _, _ = strings.Cut(line, "\r\n")
		if width := len([]rune(line)); width >= columns {
			t.Errorf("a line of %d columns wraps and breaks the drawing: %q", width, line)
		}
	}
	plain := command(t, p.url, "watch", "checkout", "--plain")
	terminal, err = pty.Start(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	shown.Reset()
	_, _ = io.Copy(&shown, terminal) // it ends with an error on Linux
	if err := plain.Wait(); err != nil || strings.Contains(shown.String(), "\x1b") {
		t.Errorf("%v: --plain moves the cursor: %q", err, shown.String())
	}
}

func TestCLI_TokensLifecycle(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t))
	p.rollcall(t, "tokens", "self").want(0, "admin in */*")
	given := p.rollcall(t, "tokens", "create", "watcher", "--role=viewer", "--scope=shop/*", "--expires=1d").want(0, "viewer in shop/*", "not shown again")
	token := strings.TrimSpace(given.out)
	as := func(args ...string) ran { return p.rollcall(t, append(args, "--token="+token)...) }
	as("tokens", "self").want(0, "token:watcher", "viewer in shop/*")
	as("deploy", "shop", "v1", "--target=a=http://127.0.0.1:1").want(2, "lacks the permission to deploy")
	as("tokens", "list").want(2)
	p.rollcall(t, "tokens", "create", "watcher", "--role=viewer", "--scope=shop").want(2, "is not service/environment")
	id := decoded[struct{ Items []struct{ ID string } }](p.rollcall(t, "tokens", "list", "--json").want(0)).Items[0].ID
	p.rollcall(t, "tokens", "list").want(0, "watcher", "valid")

	f := newFleet(t, 1, "v1")
	all := p.begin(t, "watch", "--token="+token)
	for round := 0; !strings.Contains(all.said(), "deployment.completed") && round < 30; round++ { // until it watches
		for _, service := range []string{"checkout", "shop"} {
			body := request(f, fmt.Sprint("v", round), object{"type": "rolling"})
			body["service"] = service
			p.awaitEnd(p.post(body).ID)
		}
	}
	all.awaitSaid("deployment.completed")
	if said := all.said(); strings.Contains(said, "checkout") || !strings.Contains(said, "shop in production") {
		t.Errorf("a viewer of the shop sees\n%s", said)
	}
	p.rollcall(t, "tokens", "revoke", id).want(0, "revoked")
	as("status", "shop").want(2)
	all.wantEnd(2) // the stream ends soon, and is not opened again
	p.rollcall(t, "tokens", "list").want(0, "watcher", "revoked")
}

func TestCompletion_OffersEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	p := &process{t: t, url: "http://127.0.0.1:1"}
	help := p.rollcall(t, "--help").want(0).out
	_, commands, _ := strings.Cut(help, "Commands:\n")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := p.rollcall(t, "completion", shell).want(0).out
		for line := range strings.Lines(commands) {
			if name := strings.Fields(line); strings.HasPrefix(line, "  ") && line[2] != ' ' && !strings.Contains(script, name[0]) {
				t.Errorf("%s does not complete %s", shell, name[0])
			}
		}
	}
	script := written(t, "completion.bash", p.rollcall(t, "completion", "bash").out)
	for typed, want := range map[string]string{"rollcall pro": "promote", "rollcall deploy --wa": "--wait", "rollcall completion z": "zsh", "rollcall --json statu": "status", "rollcall tokens cr": "create"} {
		words := strings.Fields(typed)
		ask := fmt.Sprintf("source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _rollcall; echo ${COMPREPLY[*]}", script, typed, len(words)-1)
		got, err := exec.CommandContext(t.Context(), "bash", "-c", ask).CombinedOutput()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is completed to %q, %v", typed, got, err)
		}
	}
}

// completions are what is typed, with what a shell makes of it when Tab is pressed.
func completions() map[string]string {
	return map[string]string{
		"rollcall pro": "promote", "rollcall deploy --wa": "--wait", "rollcall completion z": "zsh", "rollcall --json statu": "status",
		"rollcall tokens cr": "create", "rollcall --tok": "--token",
	}
}

func TestCompletion_FishEqualsBash(t *testing.T) {
	t.Parallel()
	fish := shellOrSkip(t, "fish")
	p := &process{t: t, url: "http://127.0.0.1:1"}
	script := written(t, "completion.fish", p.rollcall(t, "completion", "fish").out)
	for typed, want := range completions() {
		cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-c", fmt.Sprintf("source %s; complete -C '%s'", script, typed))
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var got []string
		for line := range strings.Lines(string(out)) {
			got = append(got, strings.Fields(line)[0])
		}
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s is completed to %q, %v", typed, out, err)
		}
	}
}

func TestCompletion_ZshEqualsBash(t *testing.T) {
	t.Parallel()
	zsh := shellOrSkip(t, "zsh")
	p := &process{t: t, url: "http://127.0.0.1:1"}
	script := written(t, "completion.zsh", p.rollcall(t, "completion", "zsh").out)
	cmd := exec.CommandContext(t.Context(), zsh, "-f", "-i")
	cmd.Env, cmd.Dir = append(os.Environ(), "HOME="+t.TempDir(), "TERM=dumb", "PS1=> "), t.TempDir()
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close(); _ = cmd.Wait() })
	said := &growing{}
	go func() { _, _ = io.Copy(said, terminal) }()
	typeIn := func(keys string) {
		if _, err := io.WriteString(terminal, keys); err != nil {
			t.Fatal(err)
		}
	}
	typeIn("autoload -U compinit; compinit -u; source " + script + "; echo rea''dy\n")
	awaitFact(t, "zsh has read the script", func() bool { return strings.Contains(said.String(), "ready") })
	for typed, want := range completions() {
		before := len(said.String())
		shown := func() string { return strings.ReplaceAll(said.String()[before:], "\a", "") } // without the bells
		words := strings.Fields(typed)
		typeIn(typed + "\t")
		whole := strings.Join(append(words[:len(words)-1], want), " ")
		awaitFact(t, typed+" becomes "+whole, func() bool { return strings.Contains(shown(), whole+" ") })
		typeIn("\x15") // Ctrl-U
	}
}

// growing is text that one writes and others read.
type growing struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (g *growing) Write(data []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(data)
}

// String is all of it until now.
func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func shellOrSkip(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	return path
}
