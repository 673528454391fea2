package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

// planted are secrets of every kind, each under a name for messages.
func planted() map[string]string {
	key := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	return map[string]string{
		"new signing key": key("planted-new-signing-key!"), "old signing key": key("planted-old-signing-key!"),
		"server's signing key": key("planted-server-key-24-by"), "header of a check": "planted-bearer-of-a-check",
		"sealing key": strings.TrimPrefix(dbtest.Key, "test:"), "url of a notification": "planted-path-of-a-receiver",
		"query of a notification": "planted-query-of-a-receiver", "key of a notification": key("planted-key-of-a-receiver"),
		"token of a notification": "planted-token-for-github",
	}
}

// gossip is a target that repeats all that it receives, and fails.
func gossip(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, _ := httputil.DumpRequest(r, true)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(r.Header.Get("Authorization") + "\n"))
		_, _ = w.Write(said)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestSecrets_AppearNowhereInPlain(t *testing.T) {
	t.Parallel()
	database, secrets := dbtest.New(t), planted()
	p := serve(t, database, "--log-level=debug", "--signing-secret=whsec_"+secrets["server's signing key"])
	address := gossip(t)
	definition := object{
		"targets":          []object{{"id": "web-1", "address": address}},
		"deploy":           object{"secret": "whsec_" + secrets["new signing key"] + " whsec_" + secrets["old signing key"], "retries": 0},
		"health_checks":    []object{{"type": "http", "interval": "20ms", "headers": object{"Authorization": secrets["header of a check"]}}},
		"healthy_deadline": "500ms",
	}
	var answers strings.Builder
	ask := func(method, path string, body object) {
		answer := p.call(method, path, body)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode >= 500 {
			t.Errorf("%s %s: %d %v", method, path, answer.StatusCode, err)
		}
		fmt.Fprintf(&answers, "%s %s\n%v\n%s\n", method, path, answer.Header, text)
	}
	const at = "/services/gossip/environments/production"
	ask("PUT", at, definition)
	receiver := address + "/planted-path-of-a-receiver?key=planted-query-of-a-receiver"
	ask("PUT", "/notifications/webhook", object{"kind": "webhook", "url": receiver, "secret": "whsec_" + secrets["key of a notification"]})
	ask("PUT", "/notifications/slack", object{"kind": "slack", "url": receiver})
	ask("PUT", "/notifications/github", object{
		"kind": "github", "url": address + "/planted-path-of-a-receiver/repos/o/n", "token": secrets["token of a notification"],
	})
	ask("PUT", "/notifications/nowhere", object{"kind": "slack", "url": "http://planted-path-of-a-receiver.invalid/"})
	ask("PUT", "/notifications/wrong", object{"kind": "slack", "url": "ftp://127.0.0.1/planted-path-of-a-receiver"})
	d := p.awaitEnd(p.post(object{"service": "gossip", "version": "v2"}).ID)
	for _, name := range []string{"webhook", "slack", "github", "nowhere"} {
		ask("POST", "/notifications/"+name+"/test", nil)
		p.delivered(name, 1) // the test: it is tried once
	}
	if d.State == "completed" {
		t.Fatalf("the deployment is %s: the target was never heard", d.State)
	}
	ask("POST", "/checks", object{"address": address, "health_checks": definition["health_checks"]})
	ask("POST", "/deployments?dry_run=true", object{"service": "gossip", "version": "v3"})
	ask("PUT", at, object{"targets": definition["targets"], "deploy": object{"secret": "whsec_" + secrets["new signing key"] + "!"}})
	for _, path := range []string{
		at, at + "/status", "/services", "/summary", "/stats/dora", "/strategies", "/metrics", "/deployments", "/deployments/" + d.ID,
		"/deployments/" + d.ID + "/targets", "/deployments/" + d.ID + "/events", "/notifications", "/notifications/webhook",
		"/notifications/webhook/deliveries", "/notifications/slack/deliveries", "/notifications/github/deliveries",
		"/notifications/nowhere/deliveries",
	} {
		ask("GET", path, nil)
	}
	places := map[string]string{
		"an answer": answers.String(), "the log": p.log(), "the rows of the database": dump(t, database),
		"pg_dump": pgDump(t, database),
	}
	for name, secret := range secrets {
		for place, text := range places {
			if shows(text, secret) {
				t.Errorf("the %s is in %s", name, place)
			}
		}
	}
	if n := strings.Count(places["an answer"], "not shown, because it repeats"); n < 4 {
		t.Errorf("%d answers of receivers that repeat secrets were hidden: they were hardly asked", n)
	}
	if !strings.Contains(places["an answer"], "***") || !strings.Contains(places["the log"], "request") {
		t.Error("nothing was looked at")
	}
}

// call makes one request, whatever is answered.
func (p *process) call(method, path string, body object) *http.Response {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, bytes.NewReader(encoded))
	if err != nil {
		p.t.Fatal(err)
	}
	if body == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// log is all that the server has written.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// shows reports whether the text holds the secret, also as hexadecimal, the way in which bytes are dumped.
func shows(text, secret string) bool {
	return strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret)))
}

// dump is every row of every table.
func dump(t *testing.T, database string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 5 {
		t.Fatalf("%v %v", tables, err)
	}
	var all strings.Builder
	for _, table := range tables {
		if _, err := conn.PgConn().CopyTo(t.Context(), &all, "COPY "+table+" TO STDOUT"); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// pgDump is what the newest pg_dump of this machine makes of the database; nothing where there is none: its rows have been
// looked at already.
func pgDump(t *testing.T, database string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(found) == 0 {
		return ""
	}
	text, err := exec.CommandContext(t.Context(), found[len(found)-1], "--dbname="+database).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "COPY public.deployments") {
		t.Errorf("pg_dump: %v %.300s", err, text)
	}
	return string(text)
}

func TestSecrets_RotationRetiresOldKey(t *testing.T) {
	t.Parallel()
	database := dbtest.New(t)
	fresh := "fresh:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	p := serve(t, database)
	answer := p.call("PUT", "/services/s/environments/e", object{
		"targets": []object{{"id": "web-1", "address": "http://127.0.0.1:1"}},
		"deploy":  object{"secret": "whsec_" + planted()["new signing key"]},
	})
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("HTTP %d", answer.StatusCode)
	}
	notified := p.call("PUT", "/notifications/main", object{"kind": "slack", "url": "http://127.0.0.1:1/planted"})
	_ = notified.Body.Close()
	if notified.StatusCode != http.StatusCreated {
		t.Fatalf("HTTP %d", notified.StatusCode)
	}
	rotate := exec.CommandContext(t.Context(), binary, "--rotate-secrets", "--secret-key="+fresh+" "+dbtest.Key, "--state-dir="+t.TempDir())
	rotate.Env = append(os.Environ(), "DATABASE_URL="+database)
	if said, err := rotate.Output(); err != nil || string(said) != "2 rows encrypted with the current key\n" {
		t.Fatalf("%q %v", said, err)
	}
	p.stop()
	if old := launch(t, database); old.url != "" || !strings.Contains(old.tail(), `sealed with key "fresh"`) {
		t.Errorf("a server without the key started, or does not say why not:\n%s", old.tail())
	}
	serve(t, database, "--secret-key="+fresh)
}

func TestSecrets_WithoutKeyAreRefused(t *testing.T) {
	t.Parallel()
	p := serve(t, dbtest.New(t), "--secret-key=")
	answer := p.call("POST", "/deployments", object{
		"service": "s", "version": "v1", "targets": []object{{"id": "web-1", "address": "http://127.0.0.1:1"}},
		"deploy": object{"secret": "whsec_" + planted()["new signing key"]},
	})
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(said), "--secret-key-file") {
		t.Errorf("%d %s %v", answer.StatusCode, said, err)
	}
}
