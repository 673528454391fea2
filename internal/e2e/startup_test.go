package e2e

import (
	"net"
	"strings"
	"testing"
	"time"

	"rollcall/internal/dbtest"
)

// A server that cannot start says so in one line, leaves with code 1, and has touched nothing before.
func TestStartup_FailureIsOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	database, state := dbtest.New(t), privateFolder(t)
	serve(t, "", "--state-dir="+state)
	unused := "postgres://rollcall:geheim@" + unusedAddress(t) + "/rollcall?sslmode=disable"
	for name, c := range map[string]struct {
		database string
		args     []string
		says     string
	}{
		"address taken":       {database, []string{"--addr=" + taken.Addr().String()}, "address already in use"},
		"admin address taken": {database, []string{"--admin-addr=" + taken.Addr().String()}, "address already in use"},
		"state folder taken":  {"", []string{"--state-dir=" + state}, state},
		"no database there":   {unused, nil, "connection refused"},
		"no server by name":   {strings.Replace(unused, "127.0.0.1", "localhost", 1), nil, "connection refused"},
		"no such database":    {strings.Replace(database, "?", "_gone?", 1), nil, "does not exist"},
		"another encoding":    {dbtest.NewEncoded(t, "LATIN1"), nil, "ENCODING 'UTF8'"},
		"read-only":           {dbtest.New(t) + "&default_transaction_read_only=on", nil, "default_transaction_read_only"},
		"shared sessions":     {dbtest.StartPooler(t, database, "pool_mode = transaction"), nil, "pool_mode=session"},
		"no database URL":     {"postgres://%zz:geheim@x/y", nil, "URL"},
		"not an address":      {database, []string{"--addr=127.0.0.1:http:x"}, "127.0.0.1:http:x"},
		"no lease":            {database, []string{"--lease=10ms"}, "--lease"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, c.database, c.args...)
			select {
			case <-p.done:
			case <-time.After(20 * time.Second):
				t.Fatalf("it has not ended:\n%s", p.tail())
			}
			if code := p.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("it left with code %d", code)
			}
			var plain []string
			for _, line := range p.lines {
				if !strings.HasPrefix(line, "{") {
					plain = append(plain, line)
				}
			}
			if len(plain) != 1 || !strings.HasPrefix(plain[0], "rollcall: ") || !strings.Contains(plain[0], c.says) {
				t.Errorf("it says %d lines, not one about %q:\n%s", len(plain), c.says, strings.Join(p.lines, "\n"))
			}
			if p.url != "" || strings.Contains(p.tail(), "geheim") {
				t.Errorf("it was ready, or printed the password:\n%s", p.tail())
			}
			t.Log(strings.Join(plain, "\n"))
		})
	}
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
