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

// gitopsCmd is about what Git says should run.
type gitopsCmd struct {
	List   gitopsListCmd   `cmd:"" help:"List the sources."`
	Status gitopsStatusCmd `cmd:"" help:"Show where a source stands, file by file."`
	Put    gitopsPutCmd    `cmd:"" help:"Make a source, or replace all of it but the secrets."`
	Sync   gitopsSyncCmd   `cmd:"" help:"Read the branch now."`
	Delete gitopsDeleteCmd `cmd:"" help:"Forget a source; what runs stays."`
}

// gitSource is what is shown of a source.
type gitSource struct {
	Name, URL, Branch, Path, State, Reason string
	DesiredRevision                        *string       `json:"desired_revision"`
	ActualRevision                         *string       `json:"actual_revision"`
	LastSyncAt                             *time.Time    `json:"last_sync_at"`
	RemovedFiles                           []removedFile `json:"removed_files"`
	Files                                  []gitFile
}

type removedFile struct{ Path, Service, Environment, Version, Commit string }

// why says what became of the file, and of what it had deployed.
func (f *removedFile) why() string {
	return "not in Git since " + commit(&f.Commit) + ", so no longer managed; what it had deployed is unchanged"
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

// Run lists the sources in the order of their names.
func (c *gitopsListCmd) Run(ctx context.Context, s *session) error {
	return listed(ctx, s, "/gitops/sources", nil, 0, func(list []gitSource) {
		t := newTable("SOURCE", "STATE", "WANTED", "RUNS", "LAST SYNC", "REPOSITORY", "REASON")
		for _, source := range list {
			t.row(source.Name, source.State, commit(source.DesiredRevision), commit(source.ActualRevision), moment(source.LastSyncAt),
				source.URL, source.Reason)
		}
		t.write(s.out)
	})
}

// commit is a commit's name, short enough for a column.
func commit(name *string) string {
	const enough = 12
	text := orDash(name)
	return text[:min(len(text), enough)]
}

// sourceName names a source.
type sourceName struct {
	Source string `arg:"" help:"The source's name."`
}

func (n *sourceName) path() string { return "/gitops/sources/" + url.PathEscape(n.Source) }

type gitopsStatusCmd struct {
	sourceName `embed:""`
}

// Run shows the source and each of its files.
func (c *gitopsStatusCmd) Run(ctx context.Context, s *session) error {
	answer, err := s.client.Do(ctx, client.Get(c.path(), nil))
	if err != nil {
		return err
	}
	return s.printSource(answer)
}

func (s *session) printSource(answer []byte) error {
	var source gitSource
	if err := json.Unmarshal(answer, &source); err != nil {
		return fmt.Errorf("read the source: %w", err)
	}
	return s.print(answer, func() { s.showSource(&source) })
}

func (s *session) showSource(source *gitSource) {
	fmt.Fprintf(s.out, "%s is %s: %s\n", source.Name, source.State, printable(source.Reason))
	fmt.Fprintf(s.out, "  %s, branch %s, wants %s, runs %s\n", printable(source.URL), printable(source.Branch),
		commit(source.DesiredRevision), commit(source.ActualRevision))
	t := newTable("FILE", "STATE", "SERVICE", "ENVIRONMENT", "VERSION", "")
	for i := range source.Files {
		f := &source.Files[i]
		t.row(f.Path, f.State, orDash(f.Service), orDash(f.Environment), orDash(f.Version), f.why())
	}
	for i := range source.RemovedFiles {
		f := &source.RemovedFiles[i]
		t.row(f.Path, "removed", f.Service, f.Environment, f.Version, f.why())
	}
	if len(source.Files)+len(source.RemovedFiles) > 0 {
		t.write(s.out)
	}
}

// why is the most important thing to know of a file that is not as Git says.
func (f *gitFile) why() string {
	for _, p := range f.Problems {
		return fmt.Sprintf("line %d: %s %s", p.Line, p.Pointer, p.Detail)
	}
	if f.Attempt != nil && f.Attempt.State != "done" {
		return f.Attempt.State + ": " + f.Attempt.Reason
	}
	for _, t := range f.Targets {
		if t.Actual == nil || *t.Actual != t.Wanted {
			return fmt.Sprintf("%s runs %s, not %s", t.ID, orDash(t.Actual), t.Wanted)
		}
	}
	return ""
}

type gitopsPutCmd struct {
	sourceName `embed:""`

	File   string `short:"f" help:"The source as YAML or JSON, with the API's own fields; - reads it from the input." placeholder:"FILE"`
	URL    string `name:"repository" help:"Where the repository is."`
	Branch string `help:"The branch (default: the file's, else main)."`
	Path   string `help:"The folder or file within the repository."`
	Heal   bool   `help:"Bring targets back that run something else than Git says."`

	AllowEmpty bool `help:"A path without any definition is meant, and no error."`
}

// Run makes the source as the file and the flags say. Secrets come from the file alone: a flag can be seen by others.
func (c *gitopsPutCmd) Run(ctx context.Context, s *session) error {
	body, err := readRequest(c.File)
	if err != nil {
		return &wrongUseError{err: err}
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
	answer, err := s.client.Do(ctx, client.Request{Method: http.MethodPut, Path: c.path(), Body: body})
	if err != nil {
		return err
	}
	return s.printSource(answer)
}

type gitopsSyncCmd struct {
	sourceName `embed:""`
	keyFlag    `embed:""`

	Plan    bool `help:"Only say what would be deployed."`
	Retry   bool `help:"Try again what has failed at this very commit."`
	Release bool `help:"Also what is held, because it was rolled back."`
}

// Run asks for a sync; the replica that does it begins at once.
func (c *gitopsSyncCmd) Run(ctx context.Context, s *session) error {
	body := map[string]any{}
	for name, said := range map[string]bool{"retry": c.Retry, "release": c.Release} {
		if said {
			body[name] = true
		}
	}
	request := client.Post(c.path()+"/sync", body)
	if c.Plan {
		request.Query = url.Values{"dry_run": {"true"}}
		answer, err := s.client.Do(ctx, request)
		if err != nil {
			return err
		}
		return s.printSyncPlan(answer)
	}
	answer, err := c.change(ctx, s, request, "")
	if err != nil {
		return err
	}
	return s.printSource(answer)
}

// syncPlan is what a sync would do.
type syncPlan struct {
	DesiredRevision string `json:"desired_revision"`
	Deployments     []struct{ Path, Kind, Service, Environment, Version string }
	Broken          []gitFile
	Removed         []removedFile
}

func (s *session) printSyncPlan(answer []byte) error {
	var plan syncPlan
	if err := json.Unmarshal(answer, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	return s.print(answer, func() {
		t := newTable("FILE", "WHY", "SERVICE", "ENVIRONMENT", "VERSION")
		for _, d := range plan.Deployments {
			t.row(d.Path, d.Kind, d.Service, d.Environment, d.Version)
		}
		for i := range plan.Broken {
			t.row(plan.Broken[i].Path, plan.Broken[i].why(), "-", "-", "-")
		}
		for _, f := range plan.Removed {
			t.row(f.Path, "removed", f.Service, f.Environment, f.Version)
		}
		t.write(s.out)
		fmt.Fprintf(s.out, "at %s\n", commit(&plan.DesiredRevision))
	})
}

type gitopsDeleteCmd struct {
	sourceName `embed:""`
}

// Run forgets it.
func (c *gitopsDeleteCmd) Run(ctx context.Context, s *session) error {
	if _, err := s.client.Do(ctx, client.Request{Method: http.MethodDelete, Path: c.path()}); err != nil {
		return err
	}
	return s.print([]byte(`{}`), func() { fmt.Fprintln(s.out, c.Source, "is forgotten") })
}
