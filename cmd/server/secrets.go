package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/keyring"
	"rollcall/internal/secret"
)

// keyFile is the file in the state folder with the key that a server with a private PostgreSQL creates.
const keyFile = "secret-key"

// openKeyring returns the keys to encrypt secrets with; nil without a key. The server creates a key for a private
// PostgreSQL. All replicas of a shared one need the same key, so the operator provides it.
func (c *Config) openKeyring() (*keyring.Keyring, error) {
	keys, err := c.secretKeys()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	box, err := keyring.New(keys[0], keys[1:]...)
	if err != nil {
		return nil, fmt.Errorf("reading the keys for secrets: %w", err)
	}
	return box, nil
}

func (c *Config) secretKeys() ([]keyring.Key, error) {
	switch {
	case c.SecretKey != "" && c.SecretKeyFile != "":
		return nil, errors.New("--secret-key and --secret-key-file are mutually exclusive")
	case c.SecretKey != "":
		keys, err := keyring.ParseKeys(c.SecretKey)
		if err != nil {
			return nil, fmt.Errorf("--secret-key: %w", err)
		}
		return keys, nil
	case c.SecretKeyFile != "":
		return keyring.ReadFile(c.SecretKeyFile) //nolint:wrapcheck // it names the file
	case c.DatabaseURL == "":
		return keyring.LoadOrCreateFile(filepath.Join(c.StateDir, keyFile)) //nolint:wrapcheck // it names the file
	default:
		return nil, nil
	}
}

// rotateSecrets encrypts every secret in the database with the current key, and prints how many rows it wrote. Replicas
// may run meanwhile; the server of a private PostgreSQL must be stopped.
func rotateSecrets(ctx context.Context, c Config, log *slog.Logger) (err error) {
	s := &server{config: c, log: log}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	done, err := s.databaseAdmin().RotateKeys(ctx)
	if err != nil {
		return fmt.Errorf("re-encrypting the secrets, after %d rows: %w", done, err)
	}
	_, err = fmt.Fprintf(os.Stdout, "%d rows encrypted with the current key\n", done)
	return err //nolint:wrapcheck // a failed write to standard output
}

// checkSigningSecrets parses one key, or two separated by a space or a comma.
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

// egressConfig returns the settings of outbound calls: limited by the guard, and signed with the server's key unless the caller
// has its own.
func (s *server) egressConfig(dial egress.Dial) egress.Config {
	return egress.Config{Dial: dial, Key: s.config.signing}
}
