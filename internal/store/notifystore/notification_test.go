package notifystore_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/dbtest"
	"rollcall/internal/keyring"
	"rollcall/internal/notification"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
	"rollcall/internal/store/notifystore"
)

const plantedURL = "https://hooks.example.com/planted-path"

// notified makes a notification for every state; change may narrow it.
func notified(t testing.TB, s *store.Store, name string, change func(*notification.Subscription)) notification.Subscription {
	t.Helper()
	n := notification.Subscription{
		Kind: notification.KindWebhook, States: notification.KindWebhook.States(),
		Secrets: notification.Secrets{URL: plantedURL, Signing: "whsec_cGxhbnRlZA==", Token: "planted-token"},
	}
	if change != nil {
		change(&n)
	}
	stored, err := s.UpdateNotification(ctx(t), name, func(*notification.Subscription) (*notification.Subscription, error) { return &n, nil })
	must(t, err)
	return stored
}

// outbox returns the messages to a notification, oldest first, as "state/status".
func outbox(t testing.TB, s *store.Store, name string) []string {
	t.Helper()
	list, err := s.Deliveries(ctx(t), name, storage.Page{})
	must(t, err)
	var messages []string
	for _, d := range slices.Backward(list.Items) {
		messages = append(messages, string(d.Message.State)+"/"+string(d.Status))
	}
	return messages
}

func wantOutbox(t testing.TB, s *store.Store, name string, want ...string) {
	t.Helper()
	if got := outbox(t, s, name); !slices.Equal(got, want) {
		t.Errorf("%s got %v, want %v", name, got, want)
	}
}

func claimDeliveries(t testing.TB, s *store.Store, replica string) []notification.ClaimedDelivery {
	t.Helper()
	_, err := s.Heartbeat(ctx(t), replica, lease)
	must(t, err)
	c, err := s.ClaimDeliveries(ctx(t), replica, nil, nil, 100)
	must(t, err)
	return c
}

func deliver(t testing.TB, s *store.Store, c *notification.ClaimedDelivery) {
	t.Helper()
	attempted(t, s, c, notification.Outcome{Result: rollout.ResultDone, Status: notification.DeliveryDelivered})
}

func TestDelivery_IsQueuedInSameTransaction(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	snap := started(t, s, "checkout", "a")
	wantOutbox(t, s, "all", "in_progress/pending")
	save(t, s, snap, storage.SaveRequest{Events: []rollout.Event{{Type: rollout.EventWaveStarted}}})
	wantOutbox(t, s, "all", "in_progress/pending")
	finish(t, s, snap, rollout.StateCompleted)
	wantOutbox(t, s, "all", "in_progress/pending", "completed/pending")
}

func TestWaiting_EachWaitIsSentOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	notified(t, s, "as before", func(n *notification.Subscription) {
		n.States = slices.DeleteFunc(n.States, func(s rollout.State) bool { return s == notification.StateWaiting })
	})
	snap := started(t, s, "checkout", "a")
	wait := func(change func(d *rollout.Deployment), events ...rollout.Event) {
		t.Helper()
		change(&snap.Deployment)
		save(t, s, snap, storage.SaveRequest{Events: events})
	}
	atGate := func(d *rollout.Deployment) {
		d.State, d.Reason, d.Progress.Gate = rollout.StatePaused, "wave 1 waits for promote", 1
	}
	gate := rollout.Event{Type: rollout.EventGateWaiting, Wave: 1}
	wait(atGate, gate)
	wait(atGate, gate) // a successor that says it again
	gate.Wave = 2
	wait(atGate, gate)
	failed := func(resumes int) func(d *rollout.Deployment) {
		return func(d *rollout.Deployment) {
			d.Stop, d.Reason, d.Progress.ResumesApplied = rollout.StopPaused, "paused: web-1 failed", resumes
		}
	}
	wait(failed(0), rollout.Event{Type: rollout.EventPaused})
	wait(failed(1), rollout.Event{Type: rollout.EventPaused})
	wait(func(d *rollout.Deployment) { d.Stop = rollout.StopNone }, rollout.Event{Type: rollout.EventPaused}) // by a person
	list, err := s.Deliveries(ctx(t), "all", storage.Page{})
	must(t, err)
	var waiting []string
	for _, d := range slices.Backward(list.Items) {
		if m := &d.Message; m.Waiting != nil {
			waiting = append(waiting, fmt.Sprintf("%s %s %s %d: %s", m.Type, m.State, m.Waiting.For, m.Waiting.Wave, m.Reason))
		}
	}
	want := []string{
		"deployment.waiting paused gate 1: wave 1 waits for promote", "deployment.waiting paused gate 2: wave 1 waits for promote",
		"deployment.waiting paused failure 0: paused: web-1 failed", "deployment.waiting paused failure 0: paused: web-1 failed",
	}
	if !slices.Equal(waiting, want) {
		t.Errorf("got %q", waiting)
	}
	wantOutbox(t, s, "as before", "in_progress/pending")
}

func TestDelivery_EndWithoutEngineIsSent(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	create(t, s, request("checkout", 1))
	second := create(t, s, request("checkout", 1)) // takes the place of the first
	wantOutbox(t, s, "all", "superseded/pending")
	_, err := s.UpdateDeployment(ctx(t), second.ID, 0, func(d *rollout.Deployment, _ time.Time) ([]rollout.Event, error) {
		d.State, d.Reason = rollout.StateAborted, "aborted"
		return []rollout.Event{{Type: rollout.EventAborted, Actor: "ann"}}, nil
	})
	must(t, err)
	wantOutbox(t, s, "all", "superseded/pending", "aborted/pending")
}

func TestDelivery_RefusedSaveNoneRepeatedSaveOne(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", func(n *notification.Subscription) { n.States = []rollout.State{rollout.StateCompleted} })
	snap := started(t, s, "checkout", "a")
	end := snap.Deployment
	end.State, end.FinishedAt = rollout.StateCompleted, end.StartedAt.Add(time.Minute)
	end.Result = &rollout.Result{State: end.State, Errors: []rollout.TargetError{}}
	event := []rollout.Event{{Type: rollout.EventCompleted, At: end.FinishedAt}}
	fenced := end
	fenced.Epoch--
	_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: fenced, Events: event})
	wantCode(t, err, problem.CodeOwnershipLost)
	wantOutbox(t, s, "all")
	for range 2 {
		_, err := s.SaveDeployment(ctx(t), storage.SaveRequest{Deployment: end, Events: event})
		must(t, err)
	}
	wantOutbox(t, s, "all", "completed/pending")
}

func TestDelivery_FollowsSubscription(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "its-service", func(n *notification.Subscription) { n.Services = []string{"search", "checkout"} })
	notified(t, s, "other-service", func(n *notification.Subscription) { n.Services = []string{"search"} })
	notified(t, s, "its-environment", func(n *notification.Subscription) { n.Environments = []string{"production"} })
	notified(t, s, "other-environment", func(n *notification.Subscription) { n.Environments = []string{"staging"} })
	notified(t, s, "failures", func(n *notification.Subscription) {
		n.States = []rollout.State{rollout.StateFailed, rollout.StateRolledBack}
	})
	snap := started(t, s, "checkout", "a")
	if snap.Deployment.Environment != "production" {
		t.Fatalf("the test's deployment is in %s", snap.Deployment.Environment)
	}
	finish(t, s, snap, rollout.StateFailed)
	both := []string{"in_progress/pending", "failed/pending"}
	wantOutbox(t, s, "its-service", both...)
	wantOutbox(t, s, "other-service")
	wantOutbox(t, s, "its-environment", both...)
	wantOutbox(t, s, "other-environment")
	wantOutbox(t, s, "failures", "failed/pending")
}

func TestDelivery_MessageIsAsOfItsEvent(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	snap := started(t, s, "checkout", "a")
	for i := range snap.Targets {
		snap.Targets[i].PreviousVersion = "v1"
	}
	save(t, s, snap, storage.SaveRequest{Targets: snap.Targets, Events: []rollout.Event{{Type: rollout.EventWaveStarted}}})
	finish(t, s, snap, rollout.StateCompleted)
	list, err := s.Deliveries(ctx(t), "all", storage.Page{})
	must(t, err)
	end, start := list.Items[0].Message, list.Items[1].Message
	if start.Type != rollout.EventStarted || start.State != rollout.StateInProgress || start.Result != nil || !start.FinishedAt.IsZero() ||
		len(start.PreviousVersions) != 0 || !start.At.Equal(snap.Deployment.StartedAt) {
		t.Errorf("the message of the start is %+v", start)
	}
	if end.Type != rollout.EventCompleted || end.Result == nil || end.PreviousVersion() != "v1" || !end.At.Equal(snap.Deployment.FinishedAt) ||
		end.DeploymentID != snap.Deployment.ID || end.Version != snap.Deployment.Version || end.Strategy != "rolling" {
		t.Errorf("the message of the end is %+v", end)
	}
	for _, d := range list.Items {
		if d.ID[14] != '7' || d.NextAttemptAt.IsZero() || len(d.Attempts) != 0 {
			t.Errorf("%+v", d)
		}
	}
}

func TestDelivery_KeepsOrderPerDeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	snap := started(t, s, "checkout", "a")
	finish(t, s, snap, rollout.StateCompleted)
	first := claimDeliveries(t, s, "a")
	if len(first) != 1 || first[0].Message.State != rollout.StateInProgress {
		t.Fatalf("claimed %+v", first)
	}
	attempted(t, s, &first[0], notification.Outcome{Result: rollout.ResultRetry, Status: notification.DeliveryPending, RetryIn: time.Hour})
	if more := claimDeliveries(t, s, "a"); len(more) != 0 {
		t.Fatalf("%s overtakes what has failed before it", more[0].Message.State)
	}
	notified(t, s, "all", nil) // as an admin who has put something right
	again := claimDeliveries(t, s, "a")
	if len(again) != 1 || again[0].ID != first[0].ID || again[0].Attempt != 2 {
		t.Fatalf("claimed %+v", again)
	}
	deliver(t, s, &again[0])
	last := claimDeliveries(t, s, "a")
	if len(last) != 1 || last[0].Message.State != rollout.StateCompleted {
		t.Fatalf("claimed %+v", last)
	}
}

func TestDelivery_IsClaimedByOneReplica(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", func(n *notification.Subscription) { n.States = []rollout.State{rollout.StateInProgress} })
	for i := range 20 {
		started(t, s, fmt.Sprintf("s%d", i), fmt.Sprintf("engine-%d", i))
	}
	for _, replica := range []string{"a", "b"} {
		_, err := s.Heartbeat(ctx(t), replica, lease)
		must(t, err)
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	owners := map[string]string{}
	for _, replica := range []string{"a", "b", "a", "b"} {
		wait.Go(func() {
			for {
				mu.Lock()
				var mine []string
				for id, owner := range owners {
					if owner == replica {
						mine = append(mine, id)
					}
				}
				mu.Unlock()
				got, err := s.ClaimDeliveries(ctx(t), replica, mine, nil, 3)
				if err != nil || len(got) == 0 {
					return
				}
				mu.Lock()
				for _, c := range got {
					if owners[c.ID] != "" && owners[c.ID] != replica {
						t.Errorf("%s has %s, which is %s's", replica, c.ID, owners[c.ID])
					}
					owners[c.ID] = replica
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if len(owners) != 20 {
		t.Errorf("%d of 20 were claimed", len(owners))
	}
}

func TestDelivery_TakenOverFromDeadReplicaKeepsID(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	started(t, s, "checkout", "a")
	before := claimDeliveries(t, s, "a")
	if len(before) != 1 || len(claimDeliveries(t, s, "b")) != 0 {
		t.Fatalf("claimed %+v, and more", before)
	}
	must(t, s.ReleaseReplica(ctx(t), "a"))
	after := claimDeliveries(t, s, "b")
	if len(after) != 1 || after[0].ID != before[0].ID || after[0].Attempt != 2 {
		t.Fatalf("claimed %+v", after)
	}
	_, err := s.FinishAttempt(ctx(t), &before[0], notification.Outcome{Result: rollout.ResultDone, Status: notification.DeliveryDelivered})
	wantCode(t, err, problem.CodeOwnershipLost)
	deliver(t, s, &after[0])
	list, err := s.Deliveries(ctx(t), "all", storage.Page{})
	must(t, err)
	attempts := list.Items[0].Attempts
	if len(attempts) != 2 || attempts[0].Result != rollout.ResultUnknown || attempts[0].Replica != "a" || attempts[1].Result != rollout.ResultDone ||
		attempts[1].Replica != "b" || attempts[1].FinishedAt.IsZero() {
		t.Errorf("the log says %+v", attempts)
	}
}

func TestDelivery_ClaimIsBoundedPerReceiver(t *testing.T) {
	t.Parallel()
	s := open(t)
	slow := notified(t, s, "slow", nil)
	notified(t, s, "quick", nil)
	for i := range 5 {
		started(t, s, fmt.Sprintf("s%d", i), fmt.Sprintf("engine-%d", i))
	}
	_, err := s.Heartbeat(ctx(t), "a", lease)
	must(t, err)
	got, err := s.ClaimDeliveries(ctx(t), "a", nil, map[string]int{slow.ID: 2}, 3)
	must(t, err)
	count := map[string]int{}
	for _, c := range got {
		count[c.Subscription.Name]++
	}
	if count["slow"] != 1 || count["quick"] != 3 {
		t.Errorf("claimed %v", count)
	}
}

func TestDelivery_UnreachableIsRetriedOnFirstSuccess(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", func(n *notification.Subscription) { n.States = []rollout.State{rollout.StateInProgress} })
	for i := range 3 {
		started(t, s, fmt.Sprintf("s%d", i), fmt.Sprintf("engine-%d", i))
	}
	c := claimDeliveries(t, s, "a")
	if len(c) != 3 {
		t.Fatalf("claimed %d", len(c))
	}
	later := notification.Outcome{Result: rollout.ResultUnknown, Status: notification.DeliveryPending, RetryIn: time.Hour, Unreachable: true}
	attempted(t, s, &c[0], later)
	later.Unreachable, later.Result = false, rollout.ResultRefused
	attempted(t, s, &c[1], later)
	deliver(t, s, &c[2])
	again := claimDeliveries(t, s, "a")
	if len(again) != 1 || again[0].ID != c[0].ID {
		t.Errorf("claimed %+v", again)
	}
}

func TestDelivery_StaleAttemptNeitherDelaysNorEnds(t *testing.T) {
	t.Parallel()
	for _, refused := range []notification.Outcome{
		{Result: rollout.ResultRefused, Status: notification.DeliveryPending, RetryIn: time.Hour},
		{Result: rollout.ResultRefused, Status: notification.DeliveryGivenUp},
	} {
		s := open(t)
		ends := func(n *notification.Subscription) { n.States = []rollout.State{rollout.StateCompleted} }
		notified(t, s, "all", ends)
		finish(t, s, started(t, s, "checkout", "a"), rollout.StateCompleted)
		c := claimDeliveries(t, s, "a")
		if len(c) != 1 {
			t.Fatalf("claimed %d", len(c))
		}
		notified(t, s, "all", func(n *notification.Subscription) { ends(n); n.Secrets.Token = "another" })
		if got := attempted(t, s, &c[0], refused); got != notification.DeliveryPending {
			t.Errorf("it is %s", got)
		}
		again := claimDeliveries(t, s, "a")
		if len(again) != 1 || again[0].ID != c[0].ID || again[0].Subscription.Secrets.Token != "another" {
			t.Fatalf("claimed %+v", again)
		}
		if got := attempted(t, s, &again[0], refused); got != refused.Status {
			t.Errorf("it is %s", got)
		}
		if more := claimDeliveries(t, s, "a"); len(more) != 0 {
			t.Errorf("claimed %+v", more)
		}
	}
}

func TestDelivery_TestBeforeChangeIsOver(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	_, err := s.TestNotification(ctx(t), "all")
	must(t, err)
	c := claimDeliveries(t, s, "a")
	if len(c) != 1 {
		t.Fatalf("claimed %d", len(c))
	}
	notified(t, s, "all", nil)
	if got := attempted(t, s, &c[0], notification.Outcome{Result: rollout.ResultRefused, Status: notification.DeliveryGivenUp}); got != notification.DeliveryGivenUp {
		t.Errorf("it is %s", got)
	}
}

func TestDelivery_AttemptWaitsForConcurrentChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	finish(t, s, started(t, s, "checkout", "a"), rollout.StateCompleted)
	c := claimDeliveries(t, s, "a")
	if len(c) != 1 {
		t.Fatalf("claimed %d", len(c))
	}
	changed := begin(t, s)
	_, err := changed.Exec(ctx(t), `UPDATE notifications SET revision = revision + 1`)
	must(t, err)
	done := make(chan error, 1)
	go func() {
		status, err := s.FinishAttempt(ctx(t), &c[0], notification.Outcome{Result: rollout.ResultRefused, Status: notification.DeliveryGivenUp})
		if err == nil && status != notification.DeliveryPending {
			err = fmt.Errorf("it is %s", status)
		}
		done <- err
	}()
	await(t, s, done, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	must(t, changed.Commit(ctx(t)))
	must(t, <-done)
}

// attempted is what a delivery is after an attempt.
func attempted(t testing.TB, s *store.Store, c *notification.ClaimedDelivery, o notification.Outcome) notification.DeliveryStatus {
	t.Helper()
	status, err := s.FinishAttempt(ctx(t), c, o)
	must(t, err)
	return status
}

// waiting fills the outbox of a notification with lines that wait for another attempt.
func waiting(t *testing.T, s *store.Store, n *notification.Subscription, lines int) {
	t.Helper()
	exec(t, s, `INSERT INTO notification_deliveries (notification_id, deployment_id, state, message, unanswered, next_attempt_at)
		SELECT $1, gen_random_uuid(), 'completed', '{}', true, clock_timestamp() + interval '1 hour' FROM generate_series(1, $2)`, n.ID, lines)
}

func due(t *testing.T, s *store.Store) int {
	t.Helper()
	var n int
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM notification_deliveries WHERE status = 'pending' AND next_attempt_at <= clock_timestamp()`).Scan(&n))
	return n
}

func TestDelivery_StatementsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t)
	n := notified(t, s, "all", func(n *notification.Subscription) { n.States = []rollout.State{rollout.StateInProgress} })
	started(t, s, "checkout", "a")
	c := claimDeliveries(t, s, "a")
	waiting(t, s, &n, 3*notifystore.MaxRows)
	deliver(t, s, &c[0])
	if got := due(t, s); got != notifystore.MaxRows {
		t.Errorf("an answer has woken %d", got)
	}
	notified(t, s, "all", nil)
	if got := due(t, s); got != 2*notifystore.MaxRows {
		t.Errorf("%d are due after a change", got)
	}
	_, err := s.UpdateNotification(ctx(t), "all", func(*notification.Subscription) (*notification.Subscription, error) { return nil, nil })
	must(t, err)
	left := func() (lines int) {
		must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM notification_deliveries`).Scan(&lines))
		return lines
	}
	if got := left(); got != 2*notifystore.MaxRows+1 {
		t.Errorf("%d lines are left of a notification that was removed", got)
	}
	must(t, s.DeleteExpiredRecords(ctx(t)))
	if got := left(); got != 0 {
		t.Errorf("%d lines are left for good", got)
	}
}

func TestDelivery_PendingCountExcludesEnded(t *testing.T) {
	t.Parallel()
	s := open(t)
	n := notified(t, s, "all", nil)
	waiting(t, s, &n, 3)
	finish(t, s, started(t, s, "checkout", "a"), rollout.StateCompleted)
	if c := claimDeliveries(t, s, "a"); len(c) != 1 {
		t.Fatalf("claimed %d", len(c))
	}
	exec(t, s, `UPDATE notification_deliveries SET created_at = clock_timestamp() - interval '1 hour' WHERE owner IS NOT NULL`)
	gauges, err := s.DeliveryGauges(ctx(t))
	must(t, err)
	if len(gauges) != 1 || gauges[0].Pending != 5 || gauges[0].Oldest < time.Hour || gauges[0].Oldest > 2*time.Hour {
		t.Errorf("%+v", gauges)
	}
	wantPlan(t, s, "notification_deliveries_free", notifystore.DeliveryGaugesSQL)
	wantPlan(t, s, "notification_deliveries_owned", notifystore.DeliveryGaugesSQL)
}

func TestNotification_SecretsAreSealedAndRotated(t *testing.T) {
	t.Parallel()
	url := dbtest.New(t)
	first, second := keyring.NewKey(time.Now()), keyring.NewKey(time.Now())
	before := keyed(t, url, first)
	n := notified(t, before, "all", nil)
	other := notified(t, before, "other", func(n *notification.Subscription) { n.Secrets.URL = "https://other.example.com" })
	wantNoSecret(t, rows(t, before))
	if n.Secrets.URL != plantedURL || n.Secrets.Token != "planted-token" {
		t.Errorf("read back as %q", n.Secrets.URL.Reveal())
	}
	lost := keyed(t, url, second)
	if err := administer(lost).CheckKeys(ctx(t)); err == nil {
		t.Error("a server without the key may start")
	}
	unread, err := lost.Notification(ctx(t), "all")
	must(t, err)
	if unread.Secrets.Unreadable == "" || unread.Secrets.URL != "" {
		t.Errorf("without the key it has %+v", unread.Secrets)
	}
	if done, err := administer(keyed(t, url, second, first)).RotateKeys(ctx(t)); done != 2 || err != nil {
		t.Fatalf("%d rows, %v", done, err)
	}
	read, err := lost.Notification(ctx(t), "all")
	must(t, err)
	if read.Secrets != n.Secrets {
		t.Errorf("after the rotation it has %q", read.Secrets.URL.Reveal())
	}
	_, err = before.Pool().Exec(ctx(t), `UPDATE notifications SET secrets = (SELECT secrets FROM notifications WHERE id = $1) WHERE id = $2`, n.ID, other.ID)
	must(t, err)
	if moved, err := lost.Notification(ctx(t), "other"); err != nil || moved.Secrets.Unreadable == "" {
		t.Errorf("a secret works in another row: %+v %v", moved.Secrets, err)
	}
}

func TestDelivery_EndedAreKeptSevenDays(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	for i := range 3 {
		started(t, s, fmt.Sprintf("s%d", i), fmt.Sprintf("engine-%d", i))
	}
	c := claimDeliveries(t, s, "a")
	deliver(t, s, &c[0])
	deliver(t, s, &c[1])
	_, err := s.Pool().Exec(ctx(t), `UPDATE notification_deliveries SET finished_at = finished_at - interval '7 days' WHERE id = $1`, c[0].ID)
	must(t, err)
	_, err = s.Pool().Exec(ctx(t), `INSERT INTO notification_deliveries (notification_id, state, message) VALUES (gen_random_uuid(), 'test', '{}')`)
	must(t, err)
	must(t, s.DeleteExpiredRecords(ctx(t)))
	left := 0
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM notification_deliveries`).Scan(&left))
	if got := outbox(t, s, "all"); len(got) != 2 || left != 2 {
		t.Errorf("%d rows are left; it shows %v", left, got)
	}
}

func TestNotification_RemovalDeletesDeliveries(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	snap := started(t, s, "checkout", "a")
	c := claimDeliveries(t, s, "a")
	_, err := s.UpdateNotification(ctx(t), "all", func(*notification.Subscription) (*notification.Subscription, error) { return nil, nil })
	must(t, err)
	_, err = s.FinishAttempt(ctx(t), &c[0], notification.Outcome{Status: notification.DeliveryDelivered})
	wantCode(t, err, problem.CodeOwnershipLost)
	finish(t, s, snap, rollout.StateCompleted)
	left := 0
	must(t, s.Pool().QueryRow(ctx(t), `SELECT count(*) FROM notification_deliveries`).Scan(&left))
	if left != 0 {
		t.Errorf("%d deliveries are left", left)
	}
	_, err = s.Deliveries(ctx(t), "all", storage.Page{})
	wantCode(t, err, problem.CodeNotFound)
	_, err = s.TestNotification(ctx(t), "all")
	wantCode(t, err, problem.CodeNotFound)
}

func TestDelivery_ListIsPagedAndCounted(t *testing.T) {
	t.Parallel()
	s := open(t)
	notified(t, s, "all", nil)
	for range 5 {
		_, err := s.TestNotification(ctx(t), "all")
		must(t, err)
	}
	var seen []int64
	p := storage.Page{Limit: 2}
	for {
		list, err := s.Deliveries(ctx(t), "all", p)
		must(t, err)
		for _, d := range list.Items {
			seen = append(seen, d.Seq)
		}
		if p.Cursor = list.NextCursor; p.Cursor == "" {
			break
		}
	}
	if len(seen) != 5 || !slices.IsSortedFunc(seen, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("paged as %v", seen)
	}
	gauges, err := s.DeliveryGauges(ctx(t))
	must(t, err)
	if len(gauges) != 1 || gauges[0].Kind != notification.KindWebhook || gauges[0].Pending != 5 || gauges[0].Oldest <= 0 {
		t.Errorf("counted as %+v", gauges)
	}
}

func TestDelivery_BacklogDoesNotSlowClaim(t *testing.T) {
	t.Parallel()
	s := open(t)
	n := notified(t, s, "all", nil)
	_, err := s.Pool().Exec(ctx(t), `
		INSERT INTO notification_deliveries (notification_id, deployment_id, state, message, attempts, next_attempt_at)
		SELECT $1, gen_random_uuid(), 'completed', '{}', 3, clock_timestamp() + interval '1 hour' FROM generate_series(1, 20000)`, n.ID)
	must(t, err)
	_, err = s.Pool().Exec(ctx(t), `ANALYZE notification_deliveries`)
	must(t, err)
	quickest := time.Hour
	for range 5 {
		began := time.Now()
		if c := claimDeliveries(t, s, "a"); len(c) != 0 {
			t.Fatalf("%d were claimed before their time", len(c))
		}
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 500*time.Millisecond { // a plan that looks at each takes seconds
		t.Errorf("it took %s to find nothing", quickest)
	}
}
