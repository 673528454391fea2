package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"rollcall/internal/outbound"
	"rollcall/internal/seal"
	"rollcall/internal/secret"
)

// keyFile is where a server with a private Postgres keeps the key that it made for itself, in the state folder.
const keyFile = "secret-key"

// openBox gives the box that secrets are sealed with; nil without a key. A private Postgres is nobody's but the server's,
// so the server may make a key for it. The key of a shared one must be known to all its replicas, so the operator gives it.
func (c *Config) openBox() (*seal.Box, error) {
	keys, err := c.secretKeys()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	box, err := seal.New(keys[0], keys[1:]...)
	if err != nil {
		return nil, fmt.Errorf("the keys for secrets: %w", err)
	}
	return box, nil
}

func (c *Config) secretKeys() ([]seal.Key, error) {
	switch {
	case c.SecretKey != "" && c.SecretKeyFile != "":
		return nil, errors.New("--secret-key and --secret-key-file exclude each other")
	case c.SecretKey != "":
		keys, err := seal.ParseKeys(c.SecretKey)
		if err != nil {
			return nil, fmt.Errorf("--secret-key: %w", err)
		}
		return keys, nil
	case c.SecretKeyFile != "":
		return seal.ReadFile(c.SecretKeyFile) //nolint:wrapcheck // it names the file
	case c.DatabaseURL == "":
		return seal.FindOrMakeFile(filepath.Join(c.StateDir, keyFile)) //nolint:wrapcheck // it names the file
	default:
		return nil, nil
	}
}

// rotateSecrets seals every secret in the database with the first of the keys, and says how many rows it wrote. Replicas
// may run meanwhile; the private Postgres belongs to its server, which must have stopped.
func rotateSecrets(ctx context.Context, c Config, log *slog.Logger) (err error) {
	s := &server{config: c, log: log}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	done, err := s.store.Reseal(ctx)
	if err != nil {
		return fmt.Errorf("sealing the secrets again, after %d rows: %w", done, err)
	}
	_, err = fmt.Fprintf(os.Stdout, "%d rows sealed with the current key\n", done)
	return err //nolint:wrapcheck // nobody could be told more
}

// checkSigningSecrets takes one key or two, written with a space or a comma between them.
func checkSigningSecrets(given string) (secret.Secret, error) {
	keys := secret.Secret(strings.Join(strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == ' ' }), " "))
	if keys == "" {
		return "", nil
	}
	if _, err := secret.SigningKeys(keys); err != nil {
		return "", fmt.Errorf("--signing-secret: %w", err)
	}
	return keys, nil
}

// outbound is how the server calls: as the guard allows, signed by its own key where nobody brings one.
func (s *server) outbound(dial outbound.Dial) outbound.Config {
	return outbound.Config{Dial: dial, Key: s.config.signing}
}
