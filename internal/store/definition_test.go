package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

// define makes a definition of checkout in production whatever there was.
func define(t testing.TB, s *store.Store, body string) catalog.Definition {
	t.Helper()
	d, err := s.UpdateDefinition(ctx(t), "checkout", "production", func(*catalog.Definition) (*catalog.Definition, error) {
		return &catalog.Definition{Body: json.RawMessage(body), DeploySecret: "whsec_c2VjcmV0", Protected: true}, nil
	})
	must(t, err)
	return d
}

func forget(*catalog.Definition) (*catalog.Definition, error) { return nil, nil }

func TestDefinition_RoundTrip(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Definition(ctx(t), "checkout", "production")
	wantCode(t, err, problem.CodeNotFound)
	written := define(t, s, `{"targets": []}`)
	read, err := s.Definition(ctx(t), "checkout", "production")
	must(t, err)
	if string(read.Body) != `{"targets": []}` || read.DeploySecret != "whsec_c2VjcmV0" || !read.Protected || read.Revision != 1 ||
		!read.CreatedAt.Equal(written.CreatedAt) || !read.UpdatedAt.Equal(read.CreatedAt) || read.Service != "checkout" || read.Environment != "production" {
		t.Errorf("%+v", read)
	}
	again := define(t, s, `{}`)
	if again.Revision != 2 || !again.CreatedAt.Equal(written.CreatedAt) || !again.UpdatedAt.After(again.CreatedAt) {
		t.Errorf("%+v", again)
	}
}

func TestDefinition_DeletedKeepsOnlyRevision(t *testing.T) {
	t.Parallel()
	s := open(t)
	define(t, s, `{}`)
	_, err := s.UpdateDefinition(ctx(t), "checkout", "production", forget)
	must(t, err)
	_, err = s.Definition(ctx(t), "checkout", "production")
	wantCode(t, err, problem.CodeNotFound)
	var forgotten bool
	must(t, s.Pool().QueryRow(ctx(t), `SELECT body IS NULL AND deploy_secret IS NULL FROM definitions`).Scan(&forgotten))
	if !forgotten {
		t.Error("something is left of it")
	}
	_, err = s.UpdateDefinition(ctx(t), "checkout", "production", func(present *catalog.Definition) (*catalog.Definition, error) {
		if present != nil {
			t.Errorf("there is %+v", present)
		}
		return &catalog.Definition{Body: json.RawMessage(`{}`)}, nil
	})
	must(t, err)
	if d := define(t, s, `{}`); d.Revision != 4 {
		t.Errorf("revision %d", d.Revision)
	}
}

func TestDefinition_FailedChangeHasNoEffect(t *testing.T) {
	t.Parallel()
	s := open(t)
	refused := errors.New("no")
	refuse := func(*catalog.Definition) (*catalog.Definition, error) { return nil, refused }
	if _, err := s.UpdateDefinition(ctx(t), "checkout", "production", refuse); !errors.Is(err, refused) {
		t.Error(err)
	}
	var rows int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM definitions`).Scan(&rows))
	if rows != 0 {
		t.Errorf("%d rows", rows)
	}
	define(t, s, `{}`)
	if _, err := s.UpdateDefinition(ctx(t), "checkout", "production", refuse); !errors.Is(err, refused) {
		t.Error(err)
	}
	if d := define(t, s, `{}`); d.Revision != 2 {
		t.Errorf("revision %d", d.Revision)
	}
}

func TestDefinition_ChangesAreSerialized(t *testing.T) {
	t.Parallel()
	s := open(t)
	const writers = 24
	atOnce(writers, func(int) {
		_, err := s.UpdateDefinition(ctx(t), "checkout", "production", func(present *catalog.Definition) (*catalog.Definition, error) {
			var n int
			if present != nil {
				if err := json.Unmarshal(present.Body, &n); err != nil {
					return nil, err
				}
			}
			return &catalog.Definition{Body: json.RawMessage(fmt.Sprint(n + 1))}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	d, err := s.Definition(ctx(t), "checkout", "production")
	must(t, err)
	if string(d.Body) != fmt.Sprint(writers) || d.Revision != writers {
		t.Errorf("%s at revision %d", d.Body, d.Revision)
	}
}

func TestRunning_IsRecordOfNewestTargets(t *testing.T) {
	t.Parallel()
	s := open(t)
	running, err := s.RunningTargets(ctx(t), "checkout", "production")
	must(t, err)
	if len(running) != 0 {
		t.Errorf("%v", running)
	}
	snap := started(t, s, "checkout", "r1") // web-0, web-1, web-2 in the request's order
	target := snap.Targets[0]
	target.Version, target.Health, target.CallsSent = "v2", healthcheck.Healthy, 1
	save(t, s, snap, storage.SaveRequest{Targets: []rollout.Target{target}})
	running, err = s.RunningTargets(ctx(t), "checkout", "production")
	must(t, err)
	if len(running) != 3 || running[0].Target != "web-0" || running[2] != (catalog.RunningTarget{Target: "web-2", Version: "v2", Health: healthcheck.Healthy}) ||
		running[0].Version != "" || running[0].Health != healthcheck.Unknown {
		t.Errorf("%+v", running)
	}
}

func TestServices_AreFoundAmongManyDeployments(t *testing.T) {
	t.Parallel()
	s := open(t)
	exec(t, s, `INSERT INTO deployments (id, service, environment, kind, strategy, spec, state, direction, created_at, started_at, finished_at, next_run_at)
		SELECT gen_random_uuid(), 's' || i % 7, 'e' || i % 3, 'deploy', 'rolling', '{}', 'completed', 'forward', now(), now(), now(), now()
		FROM generate_series(1, 21000) i`)
	define(t, s, `{}`)
	seen := map[string]bool{}
	for p := (storage.Page{Limit: 5}); ; {
		list, err := s.Services(ctx(t), authz.Everywhere(), p)
		must(t, err)
		for _, item := range list.Items {
			name := item.Service + "/" + item.Environment
			if seen[name] || item.Defined != (name == "checkout/production") || (item.Last == nil) == (name != "checkout/production") {
				t.Errorf("%+v", item)
			}
			seen[name] = true
		}
		if p.Cursor = list.NextCursor; p.Cursor == "" {
			break
		}
	}
	if len(seen) != 22 {
		t.Errorf("%d services", len(seen))
	}
}

func TestDurations_CountStartedAndEnded(t *testing.T) {
	t.Parallel()
	s := open(t)
	tally, err := s.DurationStats(ctx(t), authz.Everywhere(), time.Hour)
	must(t, err)
	if tally != (catalog.DurationStats{}) {
		t.Errorf("%+v", tally)
	}
	snap := started(t, s, "checkout", "r1")
	finish(t, s, snap, rollout.StateCompleted) // a minute after its start
	started(t, s, "other", "r1")
	createDeployment(t, s, request("third", 1))
	tally, err = s.DurationStats(ctx(t), authz.Everywhere(), time.Hour)
	must(t, err)
	if tally != (catalog.DurationStats{Count: 1, Succeeded: 1, P50: time.Minute, P95: time.Minute}) {
		t.Errorf("%+v", tally)
	}
	services, err := s.ServiceCounts(ctx(t), authz.Everywhere())
	must(t, err)
	if len(services) != 3 || services[0].Service != "checkout" || services[0].ByState[rollout.StateCompleted] != 1 || services[0].Total != 1 {
		t.Errorf("%+v", services)
	}
}
