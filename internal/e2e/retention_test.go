package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/dbtest"
)

func TestRetention_DeletesExpiredAndLogs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v1")
	database := dbtest.New(t)
	p := serve(t, database)
	var ids []string
	for _, version := range []string{"v2", "v3", "v4"} {
		ids = append(ids, p.awaitEnd(p.post(request(f, version, object{"type": "rolling"})).ID).ID)
	}
	p.stop()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE deployments SET created_at = created_at - interval '9 days', started_at = started_at - interval '9 days', finished_at = finished_at - interval '9 days'`,
		`UPDATE deployment_events SET at = at - interval '9 days'`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	p = serve(t, database, "--retain=8d")
	awaitFact(t, "the oldest is gone", func() bool {
		res, _ := call(t, http.MethodGet, p.url+"/deployments/"+ids[0], nil, nil)
		return res.StatusCode == http.StatusNotFound
	})
	if got := list[deployment](p, "/deployments"); len(got) != 2 {
		t.Errorf("%d are left", len(got))
	}
	awaitFact(t, "it is counted", func() bool {
		_, page := call(t, http.MethodGet, p.url+"/metrics", nil, nil)
		return strings.Contains(string(page), "rollcall_deployments_forgotten_total 1\n")
	})
	awaitFact(t, "it is logged", func() bool { return strings.Contains(p.tail(), `"expired deployments deleted"`) })
	p.awaitEnd(p.post(request(f, "v5", object{"type": "rolling"})).ID)
}

// awaitFact waits until something can be seen.
func awaitFact(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
