package migrations_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/migrations"
)

// bound is the one lock_timeout that migrations set; the package's comment says why.
const bound = "'1200ms'"

// unbounded lists the statements of a migration's way up that could hold up who comes after them for longer than the bound,
// and those that must wait for as long as it takes and would be cut off.
func unbounded(sql string) (faults []string) {
	up, _, _ := strings.Cut(sql, "-- +goose Down")
	setting := "SET LOCAL lock_timeout = "
	if strings.Contains(up, "-- +goose NO TRANSACTION") {
		setting = "SET lock_timeout = "
	}
	made, timeout := tablesMade(up), ""
	for statement := range strings.SplitSeq(regexp.MustCompile(`--.*`).ReplaceAllString(up, ""), ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		if value, ok := strings.CutPrefix(statement, setting); ok {
			timeout = value
		}
		if strings.Contains(statement, " CONCURRENTLY ") {
			if timeout == bound {
				faults = append(faults, statement)
			}
		} else if timeout != bound && locksOlder(statement, made) {
			faults = append(faults, statement)
		}
	}
	return faults
}

// tablesMade are the tables that no statement before this migration uses.
func tablesMade(sql string) (names []string) {
	for _, match := range regexp.MustCompile(`CREATE TABLE (?:IF NOT EXISTS )?(\w+)`).FindAllStringSubmatch(sql, -1) {
		names = append(names, match[1])
	}
	return names
}

// locksOlder reports whether a statement takes a lock on a table that was there before, and that others cannot write to, or
// read, meanwhile.
func locksOlder(statement string, made []string) bool {
	locks := regexp.MustCompile(`^(?:(?:ALTER|DROP|LOCK|TRUNCATE) TABLE (?:IF EXISTS |ONLY )*|CREATE (?:UNIQUE )?INDEX .*?\bON |` +
		`CREATE TRIGGER .*? ON |DROP INDEX (?:IF EXISTS )?|TRUNCATE |LOCK )(\w+)|\bREFERENCES (\w+)`)
	return slices.ContainsFunc(locks.FindAllStringSubmatch(statement, -1), func(match []string) bool {
		return !slices.Contains(made, match[1]+match[2])
	})
}

func TestMigrations_HoldNoLongLocks(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations: %v", len(files), err)
	}
	for _, name := range files {
		sql, err := migrations.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range unbounded(string(sql)) {
			t.Errorf("%s: the lock_timeout of this must be %s, or 0 when it is CONCURRENTLY: %s", name, bound, statement)
		}
	}
}

func TestMigrations_RuleCatchesLongLocks(t *testing.T) {
	t.Parallel()
	const set = "SET LOCAL lock_timeout = '1200ms'; "
	for sql, want := range map[string]int{
		"ALTER TABLE a ADD COLUMN b int;":                            1,
		"ALTER TABLE a ADD COLUMN b int; " + set:                     1,
		"SET lock_timeout = '1200ms'; ALTER TABLE a DROP b;":         1,
		"SET LOCAL lock_timeout = '1h'; ALTER TABLE a DROP b;":       1,
		"CREATE INDEX i ON a (b); DROP TABLE a;":                     2,
		"CREATE TABLE c (a int REFERENCES a);":                       1,
		"-- " + set + "\nLOCK TABLE a;":                              1,
		set + "CREATE INDEX CONCURRENTLY i ON a (b);":                1,
		set + "ALTER TABLE a ADD COLUMN b int; LOCK TABLE a;":        0,
		"CREATE TABLE a (b int); CREATE UNIQUE INDEX i ON a (b);":    0,
		"CREATE TABLE a (b int); -- +goose Down\nDROP TABLE z;":      0,
		"-- +goose NO TRANSACTION\n" + set + "ALTER TABLE a DROP b;": 1,
		"-- +goose NO TRANSACTION\nSET lock_timeout = '1200ms'; ALTER TABLE a DROP b;\nCREATE INDEX CONCURRENTLY i ON a (b);":            1,
		"-- +goose NO TRANSACTION\nSET lock_timeout = '1200ms'; ALTER TABLE a DROP b;\nSET lock_timeout = 0; DROP INDEX CONCURRENTLY i;": 0,
	} {
		if got := unbounded(sql); len(got) != want {
			t.Errorf("%q: %q", sql, got)
		}
	}
}

// unrepeatable lists the indexes that a migration builds beside what writes without removing before what a build that was
// cut off has left: it would stay, invalid.
func unrepeatable(sql string) (names []string) {
	up, _, _ := strings.Cut(sql, "-- +goose Down")
	for _, match := range regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX CONCURRENTLY (IF NOT EXISTS )?(\w+)`).FindAllStringSubmatchIndex(up, -1) {
		name := up[match[4]:match[5]]
		if match[2] >= 0 || !strings.Contains(up[:match[0]], "DROP INDEX CONCURRENTLY IF EXISTS "+name+";") {
			names = append(names, name)
		}
	}
	return names
}

func TestMigrations_InvalidIndexIsRebuilt(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		sql, err := migrations.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range unrepeatable(string(sql)) {
			t.Errorf("%s: DROP INDEX CONCURRENTLY IF EXISTS %s must stand before its CREATE, which must not be IF NOT EXISTS", name, index)
		}
	}
	for sql, want := range map[string]int{
		"CREATE INDEX CONCURRENTLY i ON a (b);":                                                    1,
		"DROP INDEX CONCURRENTLY IF EXISTS j; CREATE INDEX CONCURRENTLY i ON a (b);":               1,
		"DROP INDEX CONCURRENTLY IF EXISTS i; CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (b);": 1,
		"DROP INDEX CONCURRENTLY IF EXISTS i; CREATE UNIQUE INDEX CONCURRENTLY i ON a (b);":        0,
		"CREATE INDEX i ON a (b); -- +goose Down\nCREATE INDEX CONCURRENTLY i ON a (b);":           0,
	} {
		if got := unrepeatable(sql); len(got) != want {
			t.Errorf("%q: %q", sql, got)
		}
	}
}
