package api

import (
	"context"
	"net/http"

	"rollcall/internal/api/gen"
	"rollcall/internal/gitsource"
)

// GitOps is what works on sources.
type GitOps interface {
	// Preview says what a sync would do now; CodeConflict when the remote cannot be read.
	Preview(ctx context.Context, source string, ask gitsource.SyncRequest) (gitsource.PlannedSync, error)
	// Hook takes a push notification, which a form carries in its field payload; false and why when that leads to no sync,
	// CodeBadSignature when its signature is wrong.
	Hook(ctx context.Context, source string, header http.Header, body []byte, form bool) (bool, string, error)
}

// SyncSource has the branch read now, by whichever replica comes first.
func (s *server) SyncSource(ctx context.Context, in gen.SyncSourceRequestObject) (gen.SyncSourceResponseObject, error) {
	ask := gitsource.SyncRequest{}
	if b := in.Body; b != nil {
		ask = gitsource.SyncRequest{
			Retry: or(b.Retry, false), Release: or(b.Release, false),
			Service: or(b.Service, ""), Environment: or(b.Environment, ""),
		}
	}
	if or(in.Params.DryRun, false) {
		return s.previewed(ctx, in.Name, ask)
	}
	if err := s.store.AskSync(ctx, in.Name, ask); err != nil {
		return nil, err
	}
	report, err := s.store.Source(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return gen.SyncSource202JSONResponse(sourceWithFilesJSON(&report)), nil
}

func (s *server) previewed(ctx context.Context, name string, ask gitsource.SyncRequest) (gen.SyncSourceResponseObject, error) {
	if s.gitOps == nil {
		return nil, errNoGitOps()
	}
	plan, err := s.gitOps.Preview(ctx, name, ask)
	if err != nil {
		return nil, err
	}
	return gen.SyncSource200JSONResponse{
		DesiredRevision: plan.DesiredRevision, Broken: encodeAll(plan.Broken, gitFileJSON),
		Removed: encodeAll(plan.Removed, removedFileJSON),
		Deployments: encodeAll(plan.Deployments, func(p *gitsource.PlannedAttempt) gen.PlannedDeployment {
			commit := commitJSON(&p.Want.Commit)
			return gen.PlannedDeployment{
				Path: p.Path, Kind: gen.PlannedDeploymentKind(p.Kind), Service: p.Want.Service, Environment: p.Want.Environment,
				Version: p.Want.Version, Commit: &commit,
			}
		}),
	}, nil
}

func errNoGitOps() error {
	return &refusal{
		status: http.StatusNotImplemented, kind: "not-offered", title: "The server does not offer this",
		detail: "this server was made without what works on sources",
	}
}
