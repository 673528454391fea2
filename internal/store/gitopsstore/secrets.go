package gitopsstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/gitsource"
	"rollcall/internal/secret"
	"rollcall/internal/store/sealing"
)

// sealedSource is what is sealed of a source. Fields may be added, never renamed or given another type.
type sealedSource struct {
	Token      string `json:"token,omitempty"`
	SSHKey     string `json:"ssh_key,omitempty"`
	HookSecret string `json:"hook_secret,omitempty"`
}

func secretsContext(name string) string { return "gitops_sources.secrets:" + name }

// sealSecrets returns what is written to the column secrets; nil when there are none.
func (s *Store) sealSecrets(source *gitsource.Source) ([]byte, error) {
	if source.Secrets.Unreadable != "" {
		return nil, sealing.UnreadableError("source")
	}
	kept := sealedSource{
		Token: source.Secrets.Token.Reveal(), SSHKey: source.Secrets.SSHKey.Reveal(), HookSecret: source.Secrets.HookSecret.Reveal(),
	}
	if kept == (sealedSource{}) {
		return nil, nil
	}
	return s.sealer.Seal(secretsContext(source.Name), kept)
}

// openSecrets returns what seal has sealed. Unreadable secrets are marked, so that the source can be seen and is not fetched.
func (s *Store) openSecrets(name string, sealed []byte) gitsource.Secrets {
	if sealed == nil {
		return gitsource.Secrets{}
	}
	var kept sealedSource
	if err := s.sealer.Open(secretsContext(name), sealed, &kept); err != nil {
		return gitsource.Secrets{Unreadable: err.Error()}
	}
	return gitsource.Secrets{
		Token: secret.Secret(kept.Token), SSHKey: secret.Secret(kept.SSHKey), HookSecret: secret.Secret(kept.HookSecret),
	}
}

// resealSecrets seals the secrets of one source with the current key.
func (s *Store) resealSecrets(ctx context.Context, tx pgx.Tx, keys []string) error {
	report, err := s.sourceTable().LockRow(ctx, tx, keys[0])
	switch {
	case err != nil:
		return err
	case report == nil:
		return pgx.ErrNoRows // it was removed meanwhile
	}
	if why := report.Source.Secrets.Unreadable; why != "" {
		return errors.New(why)
	}
	sealed, err := s.sealSecrets(&report.Source)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE gitops_sources SET secrets = $2 WHERE name = $1`, keys[0], sealed)
	return err //nolint:wrapcheck // wrapped by the caller
}
