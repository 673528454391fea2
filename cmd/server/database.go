package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"rollcall/internal/localpg"
	"rollcall/internal/secret"
	"rollcall/internal/store"
)

// openDatabase brings the database up to this binary, as its owner, and opens it as the role that the server works as.
func (s *server) openDatabase(ctx context.Context) error {
	if err := s.startPostgres(ctx); err != nil {
		return err
	}
	box, err := s.config.openBox()
	if err != nil {
		return err
	}
	url, owner := s.config.DatabaseURL, s.config.OwnerDatabaseURL
	if s.postgres != nil {
		url, owner = s.postgres.ServerURL(), s.postgres.URL()
	}
	if s.store, err = store.Open(ctx, url, store.SealedBy(box)); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if s.work, err = s.store.Apart(ctx); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.prepareDatabase(ctx, owner); err != nil {
		return err
	}
	if err := s.store.CheckKeys(ctx); err != nil {
		return fmt.Errorf("looking whether all secrets can be opened: %w", err)
	}
	return s.sayWhatHolds(ctx)
}

// startPostgres starts a private one when no other database was named.
func (s *server) startPostgres(ctx context.Context) (err error) {
	if s.config.DatabaseURL != "" {
		return nil
	}
	if s.config.OwnerDatabaseURL != "" {
		return errors.New("--owner-database-url stands beside --database-url: the private Postgres has an owner of its own")
	}
	s.postgres, err = localpg.Start(ctx, localpg.Config{Dir: filepath.Join(s.config.StateDir, "postgres"), Log: s.log})
	if err != nil {
		return fmt.Errorf("starting the private Postgres: %w", err)
	}
	return nil
}

// checkServer refuses a database that cannot be worked with before anything is written to it.
// The private Postgres is as it was made.
func (s *server) checkServer(ctx context.Context) error {
	if s.postgres != nil {
		return nil
	}
	warnings, err := s.store.CheckServer(ctx)
	if err != nil {
		return fmt.Errorf("looking at the database: %w", err)
	}
	for _, warning := range warnings {
		s.log.WarnContext(ctx, "the database may not suit", "reason", warning)
	}
	return nil
}

// prepareDatabase migrates, and sees to it that the server may do no more to the tables than it has to. Without an owner's
// URL one role is both.
func (s *server) prepareDatabase(ctx context.Context, ownerURL string) error {
	if ownerURL == "" {
		if err := s.store.Migrate(ctx); err != nil {
			return fmt.Errorf("migrating the database: %w", err)
		}
		return s.store.RenounceEvents(ctx) //nolint:wrapcheck // it says what was tried
	}
	owner, err := store.Open(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("opening the database as its owner: %w", err)
	}
	defer owner.Close()
	if err := owner.Migrate(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	role := localpg.ServerRole
	if s.postgres == nil {
		if role, err = s.store.Role(ctx); err != nil {
			return err //nolint:wrapcheck // it says what was tried
		}
		return owner.GrantTo(ctx, role) //nolint:wrapcheck // it says what was tried
	}
	if err := owner.MakeRole(ctx, role, secret.Secret(s.postgres.ServerPassword())); err != nil {
		return err //nolint:wrapcheck // it says what was tried
	}
	return owner.GrantTo(ctx, role) //nolint:wrapcheck // it says what was tried
}

// migrate does what a server does first as the owner of its database, and nothing else: the servers then need not know the
// owner's password.
func migrate(ctx context.Context, c Config, log *slog.Logger) (err error) {
	if c.DatabaseURL == "" || c.OwnerDatabaseURL == "" {
		return errors.New("--migrate needs --database-url and, as the owner of the same database, --owner-database-url")
	}
	s := &server{config: c, log: log}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.store, err = store.Open(ctx, c.DatabaseURL); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.prepareDatabase(ctx, c.OwnerDatabaseURL); err != nil {
		return err
	}
	return s.sayWhatHolds(ctx)
}

// sayWhatHolds logs whether the server could change events.
func (s *server) sayWhatHolds(ctx context.Context) error {
	rights, err := s.store.RightsOverEvents(ctx)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // it says what was tried
	case len(rights.Held) > 0:
		s.log.WarnContext(ctx, "the server's database role can change events: give it a role that is no superuser, and the owner of the "+
			"tables with --owner-database-url", "role", rights.Role, "rights", rights.Held)
	case rights.Owner:
		s.log.InfoContext(ctx, "the server's database role has given up the right to change events; as the owner of the tables it could "+
			"take it back, unless --owner-database-url names another owner", "role", rights.Role)
	default:
		s.log.InfoContext(ctx, "the server's database role cannot change events", "role", rights.Role)
	}
	return nil
}
