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
	"rollcall/internal/store/admin"
)

// openDatabase migrates the database as its owner, and opens it as the server's role.
func (s *server) openDatabase(ctx context.Context) error {
	if err := s.startPostgres(ctx); err != nil {
		return err
	}
	box, err := s.config.openKeyring()
	if err != nil {
		return err
	}
	url, owner := s.config.DatabaseURL, s.config.OwnerDatabaseURL
	if s.postgres != nil {
		url, owner = s.postgres.ServerURL(), s.postgres.URL()
	}
	if s.store, err = store.Open(ctx, url, store.SealedBy(box), store.LogTo(s.log)); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if s.workerStore, err = s.store.WithOwnPool(ctx); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.prepareDatabase(ctx, owner); err != nil {
		return err
	}
	if err := s.databaseAdmin().CheckKeys(ctx); err != nil {
		return fmt.Errorf("checking the keys of stored secrets: %w", err)
	}
	return s.logEventPrivileges(ctx)
}

// databaseAdmin returns what administers the database as the server's role.
func (s *server) databaseAdmin() *admin.Admin { return admin.New(s.store, s.log) }

// startPostgres starts a private PostgreSQL if no database is configured.
func (s *server) startPostgres(ctx context.Context) (err error) {
	if s.config.DatabaseURL != "" {
		return nil
	}
	if s.config.OwnerDatabaseURL != "" {
		return errors.New("--owner-database-url requires --database-url: the private PostgreSQL has its own owner")
	}
	s.postgres, err = localpg.Start(ctx, localpg.Config{Dir: filepath.Join(s.config.StateDir, "postgres"), Log: s.log})
	if err != nil {
		return fmt.Errorf("starting the private PostgreSQL: %w (to use a database of your own, set --database-url or DATABASE_URL)", err)
	}
	return nil
}

// checkServer rejects an unsuitable database before anything is written to it. The private PostgreSQL needs no check.
func (s *server) checkServer(ctx context.Context) error {
	if s.postgres != nil {
		return nil
	}
	warnings, err := s.store.CheckServer(ctx)
	if err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	for _, warning := range warnings {
		s.log.WarnContext(ctx, "the database may be unsuitable", "reason", warning)
	}
	return nil
}

// prepareDatabase migrates the database and limits the privileges of the server's role. Without an owner's URL one role is
// both.
func (s *server) prepareDatabase(ctx context.Context, ownerURL string) error {
	if ownerURL == "" {
		if err := s.databaseAdmin().Migrate(ctx); err != nil {
			return fmt.Errorf("migrating the database: %w", err)
		}
		return s.databaseAdmin().RevokeEventWrites(ctx) //nolint:wrapcheck // it names the operation
	}
	owned, err := store.Open(ctx, ownerURL)
	if err != nil {
		return fmt.Errorf("opening the database as its owner: %w", err)
	}
	defer owned.Close()
	owner := admin.New(owned, s.log)
	if err := owner.Migrate(ctx); err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	role := localpg.ServerRole
	if s.postgres == nil {
		if role, err = s.databaseAdmin().CurrentRole(ctx); err != nil {
			return err //nolint:wrapcheck // it names the operation
		}
		return owner.GrantTo(ctx, role) //nolint:wrapcheck // it names the operation
	}
	if err := owner.CreateRole(ctx, role, secret.Secret(s.postgres.ServerPassword())); err != nil {
		return err //nolint:wrapcheck // it names the operation
	}
	return owner.GrantTo(ctx, role) //nolint:wrapcheck // it names the operation
}

// migrateDatabase prepares the database as its owner, and does nothing else: the servers then do not need the owner's password.
func migrateDatabase(ctx context.Context, c Config, log *slog.Logger) (err error) {
	if c.DatabaseURL == "" || c.OwnerDatabaseURL == "" {
		return errors.New("--migrate requires --database-url and, as the owner of the same database, --owner-database-url")
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
	return s.logEventPrivileges(ctx)
}

// logEventPrivileges logs whether the server's role can change events.
func (s *server) logEventPrivileges(ctx context.Context) error {
	privileges, err := s.databaseAdmin().EventPrivileges(ctx)
	switch {
	case err != nil:
		return err //nolint:wrapcheck // it names the operation
	case len(privileges.Held) > 0:
		s.log.WarnContext(ctx, "the server's database role can change events: use a role that is not a superuser, and set the owner of the "+
			"tables with --owner-database-url", "role", privileges.Role, "privileges", privileges.Held)
	case privileges.Owner:
		s.log.InfoContext(ctx, "the server's database role has revoked its own privilege to change events; as the owner of the tables it can "+
			"grant it again, unless --owner-database-url sets another owner", "role", privileges.Role)
	default:
		s.log.InfoContext(ctx, "the server's database role cannot change events", "role", privileges.Role)
	}
	return nil
}
