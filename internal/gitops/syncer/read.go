package syncer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"rollcall/internal/gitops"
	"rollcall/internal/gitops/manifest"
	"rollcall/internal/gitops/mirror"
	"rollcall/internal/gitsource"
)

// readFiles reads the desired states of a commit's files. A file whose desired state is unchanged keeps its commit.
func (s *Syncer) readFiles(ctx context.Context, m *mirror.Mirror, source *gitsource.Source, revision string, known []gitsource.File) ([]gitops.CommitFile, error) {
	entries, err := m.ListFiles(ctx, revision, source.Path)
	switch {
	case errors.Is(err, mirror.ErrNoDefinitions) && source.AllowEmpty:
		return nil, nil
	case errors.Is(err, mirror.ErrNoDefinitions):
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
	files := make([]gitops.CommitFile, 0, len(entries))
	for _, e := range entries {
		file, err := s.readFile(ctx, source, e, contents[e.Object], func(digest string) (gitsource.Commit, error) {
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

// readFile reads one file. An error means that it is unknown whether the file is good.
func (s *Syncer) readFile(
	ctx context.Context, source *gitsource.Source, e mirror.Entry, text []byte, commitOf func(digest string) (gitsource.Commit, error),
) (gitops.CommitFile, error) {
	broken := func(problems ...gitsource.FileProblem) (gitops.CommitFile, error) {
		return gitops.CommitFile{Path: e.Path, Problems: problems}, nil
	}
	if e.Refused != "" {
		return broken(gitsource.FileProblem{Detail: e.Refused})
	}
	doc, problem := manifest.Parse(text)
	if problem != nil {
		return broken(*problem)
	}
	checked, err := s.Deployer.Check(ctx, doc.JSON)
	if problems, wrong := manifest.FileProblems(err, doc); wrong {
		return broken(problems...)
	}
	if err != nil {
		return gitops.CommitFile{}, err
	}
	sum := sha256.Sum256(doc.JSON)
	digest := hex.EncodeToString(sum[:])
	commit, err := commitOf(digest)
	if err != nil {
		return gitops.CommitFile{}, err
	}
	d := &checked.Deployment
	body, err := gitops.AddLabels(doc.JSON, gitops.OriginLabels(source.Name, e.Path, commit))
	if err != nil {
		return gitops.CommitFile{}, err
	}
	return gitops.CommitFile{Path: e.Path, Want: &gitsource.DesiredState{
		Service: d.Service, Environment: d.Environment, Version: d.Version, Body: body, Digest: digest, Commit: commit,
	}}, nil
}
