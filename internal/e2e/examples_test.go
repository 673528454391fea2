package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

const examples = "../../examples"

// defined is a server that has a definition of checkout in production on the fleet.
func defined(t *testing.T, f *testtarget.Fleet, args ...string) *process {
	t.Helper()
	p := serve(t, dbtest.New(t), args...)
	body := request(f, "", object{"type": "rolling", "batch_size": 2})
	delete(body, "version")
	res, data := call(t, http.MethodPut, p.url+"/services/checkout/environments/production", body, nil)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("PUT answered %d %s", res.StatusCode, data)
	}
	return p
}

// shell runs the steps of a job as its runner would.
func (p *process) shell(t *testing.T, steps []string, environment ...string) ran {
	t.Helper()
	job := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.Join(steps, "\n"))
	job.Dir = t.TempDir()
	job.Env = append(os.Environ(), "ROLLCALL_URL="+p.url, "ROLLCALL_TOKEN="+adminToken, "ROLLCALL_CLI=file://"+commandLine)
	job.Env = append(job.Env, environment...)
	return finish(t, job)
}

func parsed[T any](t *testing.T, path string) (value T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestExamples_GitHubActionsDeploys(t *testing.T) {
	t.Parallel()
	workflow := parsed[struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run, If string }
		}
	}](t, "ci/github-actions.yml")
	f := newFleet(t, 4, "v1")
	p := defined(t, f)
	var steps, afterFailure []string
	for _, step := range workflow.Jobs["deploy"].Steps {
		if step.If == "failure()" {
			afterFailure = append(afterFailure, step.Run)
			continue
		}
		steps = append(steps, step.Run)
	}
	run := func(sha, id string, code int, also ...string) ran {
		return p.shell(t, append(steps, also...), "GITHUB_SHA="+sha, "GITHUB_RUN_ID="+id, "GITHUB_RUN_ATTEMPT=1",
			"GITHUB_SERVER_URL=https://git.example", "GITHUB_REPOSITORY=shop/checkout").want(code)
	}
	run("abc123", "7", 0).want(0, "completed")
	assertRuns(t, f, func(int) string { return "abc123" })
	calls := len(f.Calls())
	run("abc123", "7", 0).want(0, "completed")
	if len(f.Calls()) != calls {
		t.Error("the same run, repeated, deployed again")
	}
	f.Targets[1].SetBehaviour(func(b *testtarget.Behaviour) { b.Status = http.StatusForbidden })
	run("def456", "8", 1).want(1, "web-2: ")
	if len(afterFailure) != 1 {
		t.Errorf("%d steps run after a failure", len(afterFailure))
	}
	p.shell(t, append(steps[:1:1], afterFailure...)).want(0, "web-2")
}

func TestExamples_GitLabDeploysAndRollsBack(t *testing.T) {
	t.Parallel()
	type job struct {
		Script       []string
		BeforeScript []string `yaml:"before_script"`
	}
	pipeline := parsed[struct {
		Rollcall job `yaml:".rollcall"`
		Deploy   job
		Rollback job
	}](t, "ci/gitlab-ci.yml")
	f := newFleet(t, 4, "v1")
	p := defined(t, f)
	before := strings.ReplaceAll(strings.Join(pipeline.Rollcall.BeforeScript, "\n"), "/tmp/", "./")
	run := func(j job) ran {
		script := strings.ReplaceAll(strings.Join(j.Script, "\n"), "/tmp/", "./")
		return p.shell(t, []string{before, script}, "CI_COMMIT_SHA=abc123", "CI_JOB_ID=7", "CI_PIPELINE_URL=https://git.example/7")
	}
	run(pipeline.Deploy).want(0, "completed")
	assertRuns(t, f, func(int) string { return "abc123" })
	run(pipeline.Rollback).want(0, "rolled_back")
	assertRuns(t, f, func(int) string { return "v1" })
}

func TestExamples_CurlDeploysAcrossRestart(t *testing.T) {
	t.Parallel()
	f := slowly(t, 8)
	database, address := dbtest.New(t), "--addr="+freeAddress(t)
	p := serve(t, database, address)
	body := request(f, "", object{"type": "rolling"})
	delete(body, "version")
	call(t, http.MethodPut, p.url+"/services/checkout/environments/production", body, nil)

	script, err := filepath.Abs(filepath.Join(examples, "ci/curl.sh"))
	if err != nil {
		t.Fatal(err)
	}
	job := exec.CommandContext(t.Context(), script, "checkout", "v2", "job-7")
	job.Env = append(os.Environ(), "ROLLCALL_URL="+p.url, "ROLLCALL_TOKEN="+adminToken)
	ended := make(chan ran, 1)
	go func() { ended <- finish(t, job) }()
	awaitCalls(t, f, 3)
	p.kill()
	serve(t, database, address)
	(<-ended).want(0, "deployment ", "completed: ")
	assertRuns(t, f, func(int) string { return "v2" })

	again := exec.CommandContext(t.Context(), script, "checkout", "v2", "job-7")
	again.Env = job.Env
	calls := len(f.Calls())
	if finish(t, again).want(0); len(f.Calls()) != calls {
		t.Error("the same key deployed again")
	}
	f.Targets[0].QueueBehaviours(testtarget.Behaviour{Status: http.StatusForbidden})
	failing := exec.CommandContext(t.Context(), script, "checkout", "v3")
	failing.Env = job.Env
	finish(t, failing).want(1, "rolled_back: ")
}

// awaitCalls waits until the fleet was called so many times.
func awaitCalls(t *testing.T, f *testtarget.Fleet, n int) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(30 * time.Second); len(f.Calls()) < n; <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls, not %d", len(f.Calls()), n)
		}
	}
}

func TestExamples_ReleasePlanIsFeasible(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), "--allow-cidr=10.0.0.0/8")
	p.rollcall(t, "plan", "-f", filepath.Join(examples, "release.yaml")).want(0, "web-1", "next", "canary; at least")
}
