package api

import (
	"context"
	"net/http"
	"reflect"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/httpkit"
	"rollcall/internal/api/types"
	"rollcall/internal/gitsource"
	"rollcall/internal/nullable"
)

// GetSource reads a source with its status and its files.
func (s *server) GetSource(ctx context.Context, in gen.GetSourceRequestObject) (gen.GetSourceResponseObject, error) {
	report, err := s.sources.Source(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.GetSource200JSONResponse(sourceWithFilesJSON(&report)), nil
}

// sourceJSON returns a source without its files, and without its secrets.
func sourceJSON(r *gitsource.Report) types.GitSource {
	s, at := &r.Source, &r.Status
	return types.GitSource{
		Name: s.Name, URL: s.URL, Branch: s.Branch, Path: s.Path, Interval: s.Interval.String(), Heal: s.Heal,
		AllowEmpty: s.AllowEmpty,
		Username:   s.Username, KnownHosts: s.KnownHosts, AllowedSigners: s.AllowedSigners,
		HasToken: s.Secrets.Token != "", HasSSHKey: s.Secrets.SSHKey != "", HasHookSecret: s.Secrets.HookSecret != "",
		Revision: s.Revision, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
		State: types.SourceState(at.State), Reason: at.Reason,
		DesiredRevision: nullable.Of(at.DesiredRevision), ActualRevision: nullable.Of(at.ActualRevision),
		LastSyncAt: nullable.Time(at.LastSyncAt), LastGoodSyncAt: nullable.Time(at.LastGoodSyncAt), NextSyncAt: nullable.Time(at.NextSyncAt),
		Failures: at.Failures, DriftedTargets: at.Drifted, Rewrite: rewriteJSON(at.Rewrite),
		RemovedFiles: encodeAll(at.Removed, removedFileJSON),
	}
}

func sourceWithFilesJSON(r *gitsource.Report) types.GitSource {
	shown := sourceJSON(r)
	files := encodeAll(r.Files, gitFileJSON)
	shown.Files = &files
	return shown
}

func rewriteJSON(r *gitsource.Rewrite) *types.GitRewrite {
	if r == nil {
		return nil
	}
	return &types.GitRewrite{At: r.At.UTC(), From: r.From, To: r.To}
}

func removedFileJSON(f *gitsource.RemovedFile) types.GitRemovedFile {
	return types.GitRemovedFile{
		Path: f.Path, Service: f.Service, Environment: f.Environment, Version: f.Version, Commit: f.Commit, At: f.At.UTC(),
	}
}

func gitFileJSON(f *gitsource.File) types.GitFile {
	shown := types.GitFile{Path: f.Path, State: types.SourceState(f.State())}
	if w := f.Want; w != nil {
		shown.Service, shown.Environment, shown.Version = &w.Service, &w.Environment, &w.Version
		commit := commitJSON(&w.Commit)
		shown.Commit = &commit
	}
	if a := f.Attempt; a != nil {
		shown.Attempt = &types.GitAttempt{
			Kind: types.GitAttemptKind(a.Kind), State: types.GitAttemptState(a.State), Commit: a.Commit,
			DeploymentID: nullable.Of(a.DeploymentID), Reason: a.Reason,
		}
	}
	shown.Problems = encodeAll(f.Problems, func(p *gitsource.FileProblem) types.GitProblem {
		return types.GitProblem{Commit: p.Commit, Line: p.Line, Pointer: p.Pointer, Detail: p.Detail}
	})
	shown.Targets = encodeAll(f.Targets, func(t *gitsource.Drift) types.GitTarget {
		return types.GitTarget{ID: t.Target, Wanted: t.Wanted, Actual: nullable.Of(t.Actual)}
	})
	return shown
}

func commitJSON(c *gitsource.Commit) types.GitCommit {
	return types.GitCommit{Sha: c.SHA, Author: c.Author, Message: c.Message}
}

// ListSources lists the sources in the order of their names.
func (s *server) ListSources(ctx context.Context, in gen.ListSourcesRequestObject) (gen.ListSourcesResponseObject, error) {
	list, err := s.sources.Sources(ctx, pageOf(in.Params.Limit, in.Params.Cursor))
	if err != nil {
		return nil, err
	}
	return gen.ListSources200JSONResponse{Items: encodeAll(list.Items, sourceJSON), NextCursor: nullable.Of(list.NextCursor)}, nil
}

// PutSource creates or updates a source.
func (s *server) PutSource(ctx context.Context, in gen.PutSourceRequestObject) (gen.PutSourceResponseObject, error) {
	report, created, err := s.putSource(ctx, in.Name, in.Body)
	if err != nil {
		return nil, err
	}
	if created {
		return gen.PutSource201JSONResponse{
			Body: sourceJSON(&report), Headers: gen.PutSource201ResponseHeaders{Location: "/gitops/sources/" + in.Name},
		}, nil
	}
	return gen.PutSource200JSONResponse(sourceJSON(&report)), nil
}

// putSource writes a source unless it equals the stored one.
func (s *server) putSource(
	ctx context.Context, name string, body *types.GitSourceRequest,
) (report gitsource.Report, created bool, err error) {
	report, err = s.sources.UpdateSource(ctx, name, func(present *gitsource.Source) (*gitsource.Source, error) {
		created = present == nil
		next, err := s.readSource(body, present)
		if err != nil || present != nil && sameSource(present, &next) {
			return present, err
		}
		return &next, nil
	})
	return report, created, err
}

// readSource returns the source in the body, with the stored secrets that it leaves out. They are dropped when the URL
// changes.
func (s *server) readSource(body *types.GitSourceRequest, present *gitsource.Source) (gitsource.Source, error) {
	q := sourceRequest{body: body, remotes: s.remotes, checkAddress: s.checkAddress}
	next := q.readFields()
	kept := gitsource.Secrets{}
	if present != nil && present.URL == next.URL {
		kept = present.Secrets
	}
	next.Secrets = gitsource.Secrets{
		Token:      q.readSecret(body.Token, "/token", kept.Token),
		SSHKey:     q.readSecret(body.SSHKey, "/ssh_key", kept.SSHKey),
		HookSecret: q.readSecret(body.HookSecret, "/hook_secret", kept.HookSecret),
	}
	if body.Token == nil || body.SSHKey == nil || body.HookSecret == nil {
		next.Secrets.Unreadable = kept.Unreadable // what cannot be opened here is not written over
	}
	return next, q.err()
}

// sameSource reports whether two sources are equal in all that a request can set.
func sameSource(a, b *gitsource.Source) bool {
	x, y := *a, *b
	for _, s := range []*gitsource.Source{&x, &y} {
		s.ID, s.Name, s.Revision, s.CreatedAt, s.UpdatedAt = "", "", 0, b.CreatedAt, b.UpdatedAt
	}
	return reflect.DeepEqual(x, y)
}

// DeleteSource deletes a source. Deployments and running versions are unaffected.
func (s *server) DeleteSource(ctx context.Context, in gen.DeleteSourceRequestObject) (gen.DeleteSourceResponseObject, error) {
	_, err := s.sources.UpdateSource(ctx, in.Name, func(present *gitsource.Source) (*gitsource.Source, error) {
		if present == nil {
			return nil, errNotFound("no source " + in.Name)
		}
		return nil, nil //nolint:nilnil // none is what is asked for
	})
	if err != nil {
		return nil, err
	}
	return gen.DeleteSource204Response{}, nil
}

// GitOps previews syncs and receives pushes.
type GitOps interface {
	// PreviewSync returns what a sync would do now; CodeConflict when the remote cannot be read.
	PreviewSync(ctx context.Context, source string, ask gitsource.SyncRequest) (gitsource.PlannedSync, error)
	// ReceivePush processes a push notification, which a form has in its field payload. It returns false and the reason when the
	// notification triggers no sync, and CodeBadSignature when its signature is invalid.
	ReceivePush(ctx context.Context, source string, header http.Header, body []byte, form bool) (bool, string, error)
}

// SyncSource requests that a replica reads the branch now.
func (s *server) SyncSource(ctx context.Context, in gen.SyncSourceRequestObject) (gen.SyncSourceResponseObject, error) {
	ask := gitsource.SyncRequest{}
	if b := in.Body; b != nil {
		ask = gitsource.SyncRequest{
			Retry: valueOr(b.Retry, false), Release: valueOr(b.Release, false),
			Service: valueOr(b.Service, ""), Environment: valueOr(b.Environment, ""),
		}
	}
	if valueOr(in.Params.DryRun, false) {
		return s.previewSync(ctx, in.Name, ask)
	}
	if err := s.sources.RequestSync(ctx, in.Name, ask); err != nil {
		return nil, err
	}
	report, err := s.sources.Source(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.SyncSource202JSONResponse(sourceWithFilesJSON(&report)), nil
}

func (s *server) previewSync(ctx context.Context, name string, ask gitsource.SyncRequest) (gen.SyncSourceResponseObject, error) {
	if s.gitOps == nil {
		return nil, errNoGitOps()
	}
	plan, err := s.gitOps.PreviewSync(httpkit.WithoutBudget(ctx), name, ask)
	if err != nil {
		return nil, err
	}
	return gen.SyncSource200JSONResponse{
		DesiredRevision: plan.DesiredRevision, Broken: encodeAll(plan.Broken, gitFileJSON),
		Removed: encodeAll(plan.Removed, removedFileJSON),
		Deployments: encodeAll(plan.Deployments, func(p *gitsource.PlannedAttempt) types.PlannedDeployment {
			commit := commitJSON(&p.Want.Commit)
			return types.PlannedDeployment{
				Path: p.Path, Kind: types.PlannedDeploymentKind(p.Kind), Service: p.Want.Service, Environment: p.Want.Environment,
				Version: p.Want.Version, Commit: &commit,
			}
		}),
	}, nil
}

func errNoGitOps() error {
	return &httpkit.Refusal{
		Status: http.StatusNotImplemented, Kind: "not-offered", Title: "Not enabled",
		Detail: "GitOps is not enabled on this server",
	}
}
