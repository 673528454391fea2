package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// repository is the part of GitHub's API that is called, with its rules: a deployment is made once asked for, has its payload
// back as an object, and a list is filtered by ref, task and environment, and given in pages, the newest first.
type repository struct {
	mu       sync.Mutex
	made     []githubDeployment
	statuses []githubStatus
	// failStatus answers the next status with that HTTP status, once.
	failStatus int
}

func (r *repository) serve(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const at = "/repos/o/n"
	switch {
	case q.Header.Get("Authorization") != "Bearer planted-token":
		w.WriteHeader(http.StatusUnauthorized)
	case q.Method == http.MethodGet && q.URL.Path == at:
		_, _ = fmt.Fprint(w, `{"id": 1}`)
	case q.Method == http.MethodGet && q.URL.Path == at+"/deployments":
		r.list(w, q)
	case q.Method == http.MethodPost && q.URL.Path == at+"/deployments":
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"id": %d}`, len(r.made))
	case q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/statuses"):
		if r.failStatus != 0 {
			w.WriteHeader(r.failStatus)
			r.failStatus = 0
			return
		}
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (r *repository) list(w http.ResponseWriter, q *http.Request) {
	query := q.URL.Query()
	found := []map[string]any{}
	for i, d := range slices.Backward(r.made) {
		if d.Ref == query.Get("ref") && d.Environment == query.Get("environment") && d.Task == query.Get("task") {
			found = append(found, map[string]any{"id": i + 1, "payload": d.Payload})
		}
	}
	size, _ := strconv.Atoi(query.Get("per_page"))
	number, _ := strconv.Atoi(query.Get("page"))
	from := min(size*(max(number, 1)-1), len(found))
	_ = json.NewEncoder(w).Encode(found[from:min(from+size, len(found))])
}

// newRepository serves it; what is posted is kept before it is answered.
func newRepository(t *testing.T) (*repository, *receiver) {
	t.Helper()
	repo := &repository{}
	var server *receiver
	server = newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		body := server.last(t).body
		repo.mu.Lock()
		if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/deployments") {
			var d githubDeployment
			_ = json.Unmarshal(body, &d)
			repo.made = append(repo.made, d)
		}
		if q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/statuses") && repo.failStatus == 0 {
			var s githubStatus
			_ = json.Unmarshal(body, &s)
			repo.statuses = append(repo.statuses, s)
		}
		repo.mu.Unlock()
		repo.serve(w, q)
	})
	return repo, server
}

func toGitHub(r *receiver, m notification.Message) *notification.ClaimedDelivery {
	c := delivery(notification.KindGitHub, r.URL, m)
	c.Subscription.Secrets.URL, c.Subscription.Secrets.Token = secret.Secret(r.URL+"/repos/o/n"), "planted-token"
	return c
}

func TestGitHub_CreatesDeploymentOnceStatusEachTime(t *testing.T) {
	t.Parallel()
	repo, r := newRepository(t)
	start := completed(func(m *notification.Message) {
		m.State, m.Result, m.Reason = rollout.StateInProgress, nil, "wave 1 of 3: 0 of 1 targets verified"
	})
	wantStatus(t, deliverOnce(t, "https://r.example.com", toGitHub(r, start)), notification.DeliveryDelivered)
	calls := r.all()
	if len(calls) != 3 || calls[0].query != "environment=production&page=1&per_page=10&ref=abc123&task=deploy" || calls[2].path != "/repos/o/n/deployments/1/statuses" {
		t.Fatalf("%+v", calls)
	}
	wantJSON(t, calls[1].body, map[string]any{
		"ref": "abc123", "task": "deploy", "environment": "production", "description": "checkout v2+1", "auto_merge": false, "required_contexts": []any{},
		"payload": map[string]any{"rollcall_deployment_id": start.DeploymentID, "service": "checkout", "version": "v2+1"},
	})
	wantJSON(t, calls[2].body, map[string]any{
		"state": "in_progress", "environment": "production", "description": "wave 1 of 3: 0 of 1 targets verified", "auto_inactive": false,
		"log_url": "https://r.example.com/ui/deployments/" + start.DeploymentID,
	})
	for _, c := range calls {
		if c.header.Get("Accept") != "application/vnd.github+json" || c.header.Get("X-GitHub-Api-Version") != "2022-11-28" {
			t.Errorf("%v", c.header)
		}
	}
	wantStatus(t, deliverOnce(t, "", toGitHub(r, completed(nil))), notification.DeliveryDelivered)
	if len(repo.made) != 1 || len(repo.statuses) != 2 || repo.statuses[1].State != "success" {
		t.Errorf("%+v", repo)
	}
}

func TestGitHub_RetryDoesNotDuplicate(t *testing.T) {
	t.Parallel()
	repo, r := newRepository(t)
	repo.failStatus = http.StatusBadGateway
	first := deliverOnce(t, "", toGitHub(r, completed(nil)))
	wantStatus(t, first, notification.DeliveryPending)
	if !first.Unreachable {
		t.Error("a gateway's error is taken for the receiver's")
	}
	wantStatus(t, deliverOnce(t, "", toGitHub(r, completed(nil))), notification.DeliveryDelivered)
	other := completed(func(m *notification.Message) { m.DeploymentID = "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d12" })
	wantStatus(t, deliverOnce(t, "", toGitHub(r, other)), notification.DeliveryDelivered)
	if len(repo.made) != 2 || len(repo.statuses) != 2 {
		t.Errorf("%d deployments and %d statuses were made", len(repo.made), len(repo.statuses))
	}
}

func TestGitHub_FindsDeploymentOnLaterPage(t *testing.T) {
	t.Parallel()
	repo, r := newRepository(t)
	const services = 2*githubPage + 1
	of := func(i int, state rollout.State) *notification.ClaimedDelivery {
		return toGitHub(r, completed(func(m *notification.Message) {
			m.DeploymentID, m.Service, m.State = fmt.Sprintf("0199f2a4-5c1e-7d3a-9b60-%012d", i), fmt.Sprintf("s%d", i), state
		}))
	}
	for _, state := range []rollout.State{rollout.StateInProgress, rollout.StateCompleted} {
		for i := range services {
			wantStatus(t, deliverOnce(t, "", of(i, state)), notification.DeliveryDelivered)
		}
	}
	if len(repo.made) != services || len(repo.statuses) != 2*services {
		t.Errorf("%d deployments and %d statuses were made", len(repo.made), len(repo.statuses))
	}
}

func TestGitHub_MapsStates(t *testing.T) {
	t.Parallel()
	for state, want := range map[rollout.State]string{
		rollout.StateInProgress: "in_progress", rollout.StateCompleted: "success", rollout.StateFailed: "failure",
		rollout.StateRolledBack: "failure", rollout.StateAborted: "error", rollout.StateSuperseded: "inactive",
	} {
		if got := githubState(&notification.Message{State: state, Kind: rollout.KindDeploy}); got != want {
			t.Errorf("%s is %s, want %s", state, got, want)
		}
	}
	if got := githubState(&notification.Message{State: rollout.StateRolledBack, Kind: rollout.KindRollback}); got != "success" {
		t.Errorf("a rollback that is done is %s", got)
	}
}

func TestGitHub_EndsOlderDeploymentsOfOneService(t *testing.T) {
	t.Parallel()
	_, r := newRepository(t)
	c := toGitHub(r, completed(nil))
	c.Subscription.Services = []string{"checkout"}
	if !(github{}).newStatus(c).AutoInactive {
		t.Error("an older deployment of the same service stays active")
	}
	c.Subscription.Services = []string{"checkout", "search"}
	if (github{}).newStatus(c).AutoInactive {
		t.Error("another service's deployment would be ended")
	}
}

func TestGitHub_TestOnlyReadsRepository(t *testing.T) {
	t.Parallel()
	_, r := newRepository(t)
	wantStatus(t, deliverOnce(t, "", toGitHub(r, testMessage())), notification.DeliveryDelivered)
	if calls := r.all(); len(calls) != 1 || calls[0].method != http.MethodGet || calls[0].path != "/repos/o/n" {
		t.Errorf("%+v", calls)
	}
	wrong := toGitHub(r, testMessage())
	wrong.Subscription.Secrets.Token = "another"
	wantStatus(t, deliverOnce(t, "", wrong), notification.DeliveryGivenUp)
}

func TestGitHub_DescriptionIsTruncated(t *testing.T) {
	t.Parallel()
	if got := truncateDescription(strings.Repeat("é", 200)); len([]rune(got)) != 140 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d: %s", len([]rune(got)), got)
	}
}
