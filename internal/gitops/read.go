package gitops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/gitsource"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// CommitFile is a file as a commit has it: what it wants, or what is wrong with it.
type CommitFile struct {
	Path     string
	Want     *gitsource.DesiredState
	Problems []gitsource.FileProblem
}

// readFiles reads what the files of a commit want. Those that want what they wanted before keep their commit.
func (l *Syncer) readFiles(ctx context.Context, m *Mirror, s *gitsource.Source, revision string, known []gitsource.File) ([]CommitFile, error) {
	entries, err := m.ListFiles(ctx, revision, s.Path)
	switch {
	case errors.Is(err, ErrNoDefinitions) && s.AllowEmpty:
		return nil, nil
	case errors.Is(err, ErrNoDefinitions):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("list the files of commit %s: %w", revision, err)
	}
	contents, err := m.ReadFiles(ctx, entries)
	if err != nil {
		return nil, fmt.Errorf("read the files of commit %s: %w", revision, err)
	}
	digests := map[string]*gitsource.DesiredState{}
	for i := range known {
		if w := known[i].Want; w != nil {
			digests[w.Digest] = w
		}
	}
	files := make([]CommitFile, 0, len(entries))
	for _, e := range entries {
		file, err := l.readFile(ctx, s, e, contents[e.Object], func(digest string) (gitsource.Commit, error) {
			if w := digests[digest]; w != nil {
				return w.Commit, nil
			}
			return m.LastCommit(ctx, revision, e.Path)
		})
		if err != nil {
			return nil, fmt.Errorf("read %s at commit %s: %w", e.Path, revision, err)
		}
		for i := range file.Problems {
			file.Problems[i].Commit = revision
		}
		files = append(files, file)
	}
	return files, nil
}

// readFile reads one file. An error means that it is not known whether the file is good.
func (l *Syncer) readFile(
	ctx context.Context, s *gitsource.Source, e Entry, text []byte, commitOf func(digest string) (gitsource.Commit, error),
) (CommitFile, error) {
	broken := func(problems ...gitsource.FileProblem) (CommitFile, error) {
		return CommitFile{Path: e.Path, Problems: problems}, nil
	}
	if e.Refused != "" {
		return broken(gitsource.FileProblem{Detail: e.Refused})
	}
	doc, problem := readYAML(text)
	if problem == nil {
		problem = rejectSecrets(doc)
	}
	if problem == nil {
		problem = limitLabels(doc)
	}
	if problem != nil {
		return broken(*problem)
	}
	checked, err := l.Deployer.Check(ctx, doc.JSON)
	if problems, wrong := FileProblems(err, doc); wrong {
		return broken(problems...)
	}
	if err != nil {
		return CommitFile{}, err
	}
	sum := sha256.Sum256(doc.JSON)
	digest := hex.EncodeToString(sum[:])
	commit, err := commitOf(digest)
	if err != nil {
		return CommitFile{}, err
	}
	d := &checked.Deployment
	body, err := AddLabels(doc.JSON, originLabels(s, e, commit))
	if err != nil {
		return CommitFile{}, err
	}
	return CommitFile{Path: e.Path, Want: &gitsource.DesiredState{
		Service: d.Service, Environment: d.Environment, Version: d.Version, Body: body, Digest: digest, Commit: commit,
	}}, nil
}

// originLabels returns the labels that record where a deployment comes from.
func originLabels(s *gitsource.Source, e Entry, commit gitsource.Commit) map[string]string {
	labels := map[string]string{
		"commit": commit.SHA, "author": commit.Author, "message": commit.Message, "source": s.Name, "file": LabelValue(e.Path),
	}
	if !commit.Time.IsZero() {
		labels[rollout.LabelCommitTime] = commit.Time.Format(time.RFC3339)
	}
	return labels
}

// rejectSecrets refuses a secret in a file: all readers of the repository would have it, and all readers of what Rollcall
// stores of the file.
func rejectSecrets(doc *Document) *gitsource.FileProblem {
	given := secretPointers(doc.value)
	if len(given) == 0 {
		return nil
	}
	part := strings.Split(given[0], "/")[1]
	return &gitsource.FileProblem{
		Line: doc.lineOf(given[0]), Pointer: given[0],
		Detail: "does not belong into Git: put it into the definition of the service in the environment, and leave " + part + " out here",
	}
}

// secretPointers returns the fields of a request that are given and secret. Headers of checks are, whatever they are called:
// they hold credentials as often as not.
func secretPointers(request map[string]any) []string {
	var given []string
	look := func(part any, at, field string) {
		fields, _ := part.(map[string]any)
		if _, there := fields[field]; there {
			given = append(given, at+"/"+field)
		}
	}
	look(request["deploy"], "/deploy", "secret")
	look(request["tls"], "/tls", "client_key")
	checks, _ := request["health_checks"].([]any)
	for i, check := range checks {
		look(check, "/health_checks/"+strconv.Itoa(i), "headers")
	}
	return given
}

// maxLabels of a file leave room, among the 50 of a deployment, for commit, its time, author, message, source, file and attempt.
const maxLabels = 50 - 7

// limitLabels refuses labels that only a deployment would be refused for.
func limitLabels(doc *Document) *gitsource.FileProblem {
	if own, _ := doc.value["labels"].(map[string]any); len(own) > maxLabels {
		return &gitsource.FileProblem{
			Line: doc.lineOf("/labels"), Pointer: "/labels",
			Detail: fmt.Sprintf("must have at most %d labels, so that there is room for those that say where they come from", maxLabels),
		}
	}
	return nil
}

// FileProblems turns a refusal into what is wrong with the file; false when err is none.
func FileProblems(err error, doc *Document) ([]gitsource.FileProblem, bool) {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.Code != problem.CodeInvalid {
		return nil, false
	}
	if len(e.Fields) == 0 {
		return []gitsource.FileProblem{{Line: doc.lineOf(""), Detail: e.Message}}, true
	}
	problems := make([]gitsource.FileProblem, len(e.Fields))
	for i, p := range e.Fields {
		problems[i] = gitsource.FileProblem{Line: doc.lineOf(p.Pointer), Pointer: p.Pointer, Detail: p.Detail}
	}
	return problems, true
}

// AddLabels returns a request with these labels added to its own.
func AddLabels(body json.RawMessage, labels map[string]string) (json.RawMessage, error) {
	var own struct {
		Labels map[string]any `json:"labels"`
	}
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, fmt.Errorf("read the labels of a request: %w", err)
	}
	all := map[string]any{}
	for name, value := range own.Labels {
		all[name] = value
	}
	for name, value := range labels {
		all[name] = value
	}
	return setField(body, "labels", all)
}

// setField returns a request with one field set.
func setField(body json.RawMessage, field string, value any) (json.RawMessage, error) {
	var request map[string]any
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	request[field] = value
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	return encoded, nil
}
