package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"rollcall/internal/client"
)

// gitopsCmd manages Git sources.
type gitopsCmd struct {
	List   gitopsListCmd   `cmd:"" help:"List sources."`
	Status gitopsStatusCmd `cmd:"" help:"Show a source's sync status, file by file."`
	Put    gitopsPutCmd    `cmd:"" help:"Create or replace a source; its stored secrets are kept."`
	Sync   gitopsSyncCmd   `cmd:"" help:"Sync the branch now."`
	Delete gitopsDeleteCmd `cmd:"" help:"Delete a source; what it deployed stays."`
}

// gitSource holds the fields of a source that are printed.
type gitSource struct {
	Name, URL, Branch, Path, State, Reason string
	DesiredRevision                        *string       `json:"desired_revision"`
	ActualRevision                         *string       `json:"actual_revision"`
	LastSyncAt                             *time.Time    `json:"last_sync_at"`
	RemovedFiles                           []removedFile `json:"removed_files"`
	Files                                  []gitFile
}

type removedFile struct{ Path, Service, Environment, Version, Commit string }

// removalNote returns what happened to the file and to its deployment.
func (f *removedFile) removalNote() string {
	return "removed from Git in " + shortCommit(&f.Commit) + ": no longer managed; its deployment is unchanged"
}

type gitFile struct {
	Path, State                   string
	Service, Environment, Version *string
	Problems                      []struct {
		Line            int
		Pointer, Detail string
	}
	Attempt *struct{ State, Reason string }
	Targets []struct {
		ID, Wanted string
		Actual     *string
	}
}

type gitopsListCmd struct{}

// Run lists the sources, ordered by name.
func (c *gitopsListCmd) Run(ctx context.Context, a *app) error {
	return printList(ctx, a, "/gitops/sources", nil, 0, func(list []gitSource) {
		t := newTable("SOURCE", "STATE", "DESIRED", "ACTUAL", "LAST SYNC", "REPOSITORY", "REASON")
		for _, source := range list {
			t.addRow(source.Name, source.State, shortCommit(source.DesiredRevision), shortCommit(source.ActualRevision), formatTimeOrDash(source.LastSyncAt),
				source.URL, source.Reason)
		}
		t.writeTo(a.out)
	})
}

// shortCommit abbreviates a commit's hash.
func shortCommit(hash *string) string {
	const short = 12
	text := orDash(hash)
	return text[:min(len(text), short)]
}

// sourceName names a source.
type sourceName struct {
	Source string `arg:"" help:"The source's name."`
}

func (n *sourceName) sourcePath() string { return "/gitops/sources/" + url.PathEscape(n.Source) }

type gitopsStatusCmd struct {
	sourceName `embed:""`
}

// Run prints the source and each of its files.
func (c *gitopsStatusCmd) Run(ctx context.Context, a *app) error {
	response, err := a.client.Do(ctx, client.Get(c.sourcePath(), nil))
	if err != nil {
		return err
	}
	return a.printSource(response)
}

func (a *app) printSource(response []byte) error {
	var source gitSource
	if err := json.Unmarshal(response, &source); err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	return a.printResponse(response, func() { a.showSource(&source) })
}

func (a *app) showSource(source *gitSource) {
	fmt.Fprintf(a.out, "%s is %s: %s\n", source.Name, source.State, replaceControls(source.Reason))
	fmt.Fprintf(a.out, "  %s, branch %s; desired %s, actual %s\n", replaceControls(source.URL), replaceControls(source.Branch),
		shortCommit(source.DesiredRevision), shortCommit(source.ActualRevision))
	t := newTable("FILE", "STATE", "SERVICE", "ENVIRONMENT", "VERSION", "")
	for i := range source.Files {
		f := &source.Files[i]
		t.addRow(f.Path, f.State, orDash(f.Service), orDash(f.Environment), orDash(f.Version), f.syncNote())
	}
	for i := range source.RemovedFiles {
		f := &source.RemovedFiles[i]
		t.addRow(f.Path, "removed", f.Service, f.Environment, f.Version, f.removalNote())
	}
	if len(source.Files)+len(source.RemovedFiles) > 0 {
		t.writeTo(a.out)
	}
}

// syncNote returns why a file is not in sync; empty if it is.
func (f *gitFile) syncNote() string {
	for _, p := range f.Problems {
		return fmt.Sprintf("line %d: %s %s", p.Line, p.Pointer, p.Detail)
	}
	if f.Attempt != nil && f.Attempt.State != "done" {
		return f.Attempt.State + ": " + f.Attempt.Reason
	}
	for _, t := range f.Targets {
		if t.Actual == nil || *t.Actual != t.Wanted {
			return fmt.Sprintf("%s runs %s, desired %s", t.ID, orDash(t.Actual), t.Wanted)
		}
	}
	return ""
}

type gitopsPutCmd struct {
	sourceName `embed:""`

	File   string `short:"f" help:"File with the source as YAML or JSON, with the API's fields; - reads standard input." placeholder:"FILE"`
	URL    string `name:"repository" help:"URL of the repository."`
	Branch string `help:"The branch (default: the file's, else main)."`
	Path   string `help:"The folder or file within the repository."`
	Heal   bool   `help:"Redeploy targets whose version drifts from Git."`

	AllowEmpty bool `help:"Accept a path without any definition."`
}

// Run creates or replaces the source. Secrets come from the file only: other users can see flags.
func (c *gitopsPutCmd) Run(ctx context.Context, a *app) error {
	body, err := readRequest(c.File)
	if err != nil {
		return &usageError{err: err}
	}
	for name, value := range map[string]string{"url": c.URL, "branch": c.Branch, "path": c.Path} {
		if value != "" {
			body[name] = value
		}
	}
	for name, set := range map[string]bool{"heal": c.Heal, "allow_empty": c.AllowEmpty} {
		if set {
			body[name] = true
		}
	}
	response, err := a.client.Do(ctx, client.Request{Method: http.MethodPut, Path: c.sourcePath(), Body: body})
	if err != nil {
		return err
	}
	return a.printSource(response)
}

type gitopsSyncCmd struct {
	sourceName `embed:""`
	keyFlag    `embed:""`

	Plan    bool `help:"Only show what would be deployed."`
	Retry   bool `help:"Retry deployments that failed at the current commit."`
	Release bool `help:"Release versions that are held after a rollback."`
}

// Run requests a sync, or prints its plan.
func (c *gitopsSyncCmd) Run(ctx context.Context, a *app) error {
	body := map[string]any{}
	for name, set := range map[string]bool{"retry": c.Retry, "release": c.Release} {
		if set {
			body[name] = true
		}
	}
	request := client.Post(c.sourcePath()+"/sync", body)
	if c.Plan {
		request.Query = url.Values{"dry_run": {"true"}}
		response, err := a.client.Do(ctx, request)
		if err != nil {
			return err
		}
		return a.printSyncPlan(response)
	}
	response, err := c.sendOnce(ctx, a, request, "")
	if err != nil {
		return err
	}
	return a.printSource(response)
}

// syncPlan is what a sync would do.
type syncPlan struct {
	DesiredRevision string `json:"desired_revision"`
	Deployments     []struct{ Path, Kind, Service, Environment, Version string }
	Broken          []gitFile
	Removed         []removedFile
}

func (a *app) printSyncPlan(response []byte) error {
	var plan syncPlan
	if err := json.Unmarshal(response, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	return a.printResponse(response, func() {
		t := newTable("FILE", "KIND", "SERVICE", "ENVIRONMENT", "VERSION")
		for _, d := range plan.Deployments {
			t.addRow(d.Path, d.Kind, d.Service, d.Environment, d.Version)
		}
		for i := range plan.Broken {
			t.addRow(plan.Broken[i].Path, plan.Broken[i].syncNote(), "-", "-", "-")
		}
		for _, f := range plan.Removed {
			t.addRow(f.Path, "removed", f.Service, f.Environment, f.Version)
		}
		t.writeTo(a.out)
		fmt.Fprintf(a.out, "at %s\n", shortCommit(&plan.DesiredRevision))
	})
}

type gitopsDeleteCmd struct {
	sourceName `embed:""`
}

// Run deletes the source.
func (c *gitopsDeleteCmd) Run(ctx context.Context, a *app) error {
	if _, err := a.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: c.sourcePath()}); err != nil {
		return err
	}
	return a.printResponse([]byte(`{}`), func() { fmt.Fprintf(a.out, "source %s deleted\n", c.Source) })
}
