package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Beside the data, so that a copy of the folder, or a restored one, has the passwords of its roles.
const (
	passwordFile = "rollcall.pgpass"
	accessFile   = "rollcall_hba.conf"
)

// access is pg_hba.conf: every login needs a password.
const access = "local all all scram-sha-256\nlocal replication " + role + " scram-sha-256\n"

// passwords are those of the roles, by name.
type passwords map[string]string

// setPasswords sets passwords for the roles, and requires them. It also upgrades data of a version that trusted every user of
// the socket is taken over. It runs while no PostgreSQL does.
func (s *Server) setPasswords(ctx context.Context) (err error) {
	if err := s.dataDir.writeFile(accessFile, access, s.who); err != nil {
		return err
	}
	if s.passwords, err = s.dataDir.readPasswords(); err != nil || s.passwords != nil {
		return err
	}
	fresh := passwords{role: rand.Text(), ServerRole: rand.Text()}
	// The server's role is created by the owner of the database, with its password.
	set := "ALTER ROLE " + role + " PASSWORD '" + fresh[role] + "'\n"
	err = s.runProgram(ctx, set, s.progs.postgresPath(), "--single", "-D", s.dataDir.dataPath(), "-c", "password_encryption=scram-sha-256",
		"-c", "log_min_error_statement=panic", "-c", "log_statement=none", database)
	if err != nil {
		return fmt.Errorf("give the role %s a password: %w", role, err)
	}
	s.passwords = fresh
	return s.dataDir.writeFile(passwordFile, fresh.passFile(), s.who) // last: without the file it is all done again
}

// passFile returns the content of the file, which PostgreSQL's own programs read with PGPASSFILE, too.
func (p passwords) passFile() string {
	var text strings.Builder
	for _, role := range []string{role, ServerRole} {
		text.WriteString("*:*:*:" + role + ":" + p[role] + "\n")
	}
	return text.String()
}

// readPasswords reads the passwords; it returns nil when there are none, or not all of them.
func (p dataDir) readPasswords() (passwords, error) {
	f, err := os.OpenFile(filepath.Join(p.dataPath(), passwordFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the database's passwords: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read the database's passwords: %w", err)
	}
	known := passwords{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) == 5 {
			known[fields[3]] = fields[4]
		}
	}
	if known[role] == "" || known[ServerRole] == "" {
		return nil, nil
	}
	return known, nil
}

// writeFile puts a file of the account's into the data folder, whole or not at all. The folder is the account's: what is there
// already may be a link, and is replaced and never followed.
func (p dataDir) writeFile(name, text string, who account) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	f, err := os.CreateTemp(p.dataPath(), name+".new-*") // 0600, and never there before
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chown(who.uid, who.gid), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), filepath.Join(p.dataPath(), name)); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(p.dataPath())
}
