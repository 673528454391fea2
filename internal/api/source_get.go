package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/gitsource"
)

// GetSource reads a source, where it stands, and its files.
func (s *server) GetSource(ctx context.Context, in gen.GetSourceRequestObject) (gen.GetSourceResponseObject, error) {
	report, err := s.store.Source(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.GetSource200JSONResponse(sourceWithFilesJSON(&report)), nil
}

// sourceJSON is a source without its files, and without its secrets.
func sourceJSON(r *gitsource.Report) gen.GitSource {
	s, at := &r.Source, &r.Status
	return gen.GitSource{
		Name: s.Name, URL: s.URL, Branch: s.Branch, Path: s.Path, Interval: s.Interval.String(), Heal: s.Heal,
		AllowEmpty: s.AllowEmpty,
		Username:   s.Username, KnownHosts: s.KnownHosts, AllowedSigners: s.AllowedSigners,
		HasToken: s.Secrets.Token != "", HasSSHKey: s.Secrets.SSHKey != "", HasHookSecret: s.Secrets.HookSecret != "",
		Revision: s.Revision, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
		State: gen.SourceState(at.State), Reason: at.Reason,
		DesiredRevision: known(at.DesiredRevision), ActualRevision: known(at.ActualRevision),
		LastSyncAt: moment(at.LastSyncAt), LastGoodSyncAt: moment(at.LastGoodSyncAt), NextSyncAt: moment(at.NextSyncAt),
		Failures: at.Failures, DriftedTargets: at.Drifted, Rewrite: rewriteJSON(at.Rewrite),
		RemovedFiles: encodeAll(at.Removed, removedFileJSON),
	}
}

func sourceWithFilesJSON(r *gitsource.Report) gen.GitSource {
	shown := sourceJSON(r)
	files := encodeAll(r.Files, gitFileJSON)
	shown.Files = &files
	return shown
}

func rewriteJSON(r *gitsource.Rewrite) *gen.GitRewrite {
	if r == nil {
		return nil
	}
	return &gen.GitRewrite{At: r.At.UTC(), From: r.From, To: r.To}
}

func removedFileJSON(f *gitsource.RemovedFile) gen.GitRemovedFile {
	return gen.GitRemovedFile{
		Path: f.Path, Service: f.Service, Environment: f.Environment, Version: f.Version, Commit: f.Commit, At: f.At.UTC(),
	}
}

func gitFileJSON(f *gitsource.File) gen.GitFile {
	shown := gen.GitFile{Path: f.Path, State: gen.SourceState(f.State())}
	if w := f.Want; w != nil {
		shown.Service, shown.Environment, shown.Version = &w.Service, &w.Environment, &w.Version
		commit := commitJSON(&w.Commit)
		shown.Commit = &commit
	}
	if a := f.Attempt; a != nil {
		shown.Attempt = &gen.GitAttempt{
			Kind: gen.GitAttemptKind(a.Kind), State: gen.GitAttemptState(a.State), Commit: a.Commit,
			DeploymentID: known(a.DeploymentID), Reason: a.Reason,
		}
	}
	shown.Problems = encodeAll(f.Problems, func(p *gitsource.FileProblem) gen.GitProblem {
		return gen.GitProblem{Commit: p.Commit, Line: p.Line, Pointer: p.Pointer, Detail: p.Detail}
	})
	shown.Targets = encodeAll(f.Targets, func(t *gitsource.Drift) gen.GitTarget {
		return gen.GitTarget{ID: t.Target, Wanted: t.Wanted, Actual: known(t.Actual)}
	})
	return shown
}

func commitJSON(c *gitsource.Commit) gen.GitCommit {
	return gen.GitCommit{Sha: c.SHA, Author: c.Author, Message: c.Message}
}
