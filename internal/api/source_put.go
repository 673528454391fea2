package api

import (
	"context"
	"reflect"

	"rollcall/internal/api/gen"
	"rollcall/internal/gitsource"
)

// PutSource makes a source, or changes it.
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

// putSource writes a source unless it is as the body says already.
func (s *server) putSource(
	ctx context.Context, name string, body *gen.GitSourceRequest,
) (report gitsource.Report, created bool, err error) {
	report, err = s.store.DefineSource(ctx, name, func(present *gitsource.Source) (*gitsource.Source, error) {
		created = present == nil
		next, err := s.readSource(body, present)
		if err != nil || present != nil && sameSource(present, &next) {
			return present, err
		}
		return &next, nil
	})
	return report, created, err
}

// readSource is the source that the body asks for, with the secrets that it does not mention. They are not kept when they
// would be sent to another place.
func (s *server) readSource(body *gen.GitSourceRequest, present *gitsource.Source) (gitsource.Source, error) {
	q := sourceRequest{body: body, remotes: s.remotes, checkAddress: s.checkAddress}
	next := q.read()
	kept := gitsource.Secrets{}
	if present != nil && present.URL == next.URL {
		kept = present.Secrets
	}
	next.Secrets = gitsource.Secrets{
		Token:      q.secret(body.Token, "/token", kept.Token),
		SSHKey:     q.secret(body.SSHKey, "/ssh_key", kept.SSHKey),
		HookSecret: q.secret(body.HookSecret, "/hook_secret", kept.HookSecret),
	}
	if body.Token == nil || body.SSHKey == nil || body.HookSecret == nil {
		next.Secrets.Unreadable = kept.Unreadable // what cannot be opened here is not written over
	}
	return next, q.err()
}

// sameSource reports whether two sources differ in nothing that a request can say.
func sameSource(a, b *gitsource.Source) bool {
	x, y := *a, *b
	for _, s := range []*gitsource.Source{&x, &y} {
		s.ID, s.Name, s.Revision, s.CreatedAt, s.UpdatedAt = "", "", 0, b.CreatedAt, b.UpdatedAt
	}
	return reflect.DeepEqual(x, y)
}
