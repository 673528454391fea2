package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/dbtest"
	"rollcall/internal/testtarget"
)

// The secrets of the versions that answer at /health and at /healthz.
const (
	healthSecret  = "whsec_aGVhbHRoLWhlYWx0aC1oZWFsdGg="
	healthzSecret = "whsec_aGVhbHRoei1oZWFsdGh6LWh6LWg="
)

// movedHealth is a fleet whose v2 answers for its health elsewhere than any other version.
func movedHealth(t *testing.T, n int) *testtarget.Fleet {
	t.Helper()
	f := newFleet(t, n, "v0")
	for _, target := range f.Targets {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.HealthzOn = "v2" })
	}
	return f
}

// judged is the body of a deployment that looks at a path, and signs with a secret.
func judged(body object, version, path, secret string) object {
	body["version"] = version
	body["deploy"] = object{"timeout": "5s", "retries": 0, "secret": secret}
	body["healthy_deadline"] = "2s"
	body["health_checks"] = []object{{"type": "http", "path": path, "version_pointer": "/version", "interval": "50ms"}}
	return body
}

// signedWith reports whether a call is signed with the secret (Standard Webhooks 1.0).
func signedWith(c *testtarget.Call, secret string) bool {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(c.WebhookID + "." + c.WebhookTimestamp + "."))
	mac.Write(c.Body)
	return c.WebhookSignature == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// assertSigned wants every call from the nth on to bring a version, signed with its secret.
func assertSigned(t *testing.T, f *testtarget.Fleet, n int, version, secret string) {
	t.Helper()
	calls := f.Calls()[n:]
	if len(calls) == 0 {
		t.Error("no target was called")
	}
	for _, c := range calls {
		if c.Version != version || !signedWith(&c, secret) {
			t.Errorf("%s got %s of %s, signed otherwise", c.Target, c.Action, c.Version)
		}
	}
}

// TestRollback_UsesRulesOfTargetVersion rolls a finished deployment back, and that rollback: each version is judged where
// it answers, and called with its own secret, behind a router.
func TestRollback_UsesRulesOfTargetVersion(t *testing.T) {
	t.Parallel()
	f := movedHealth(t, 3)
	b := newBalancer(t, f, byCount)
	p := serve(t, dbtest.New(t))
	body := routed(b, "v1", object{"type": "rolling"})
	assertEnd(p, p.awaitEnd(p.post(judged(body, "v1", "/health", healthSecret)).ID), "completed", true)
	assertEnd(p, p.awaitEnd(p.post(judged(body, "v2", "/healthz", healthzSecret)).ID), "completed", true)
	const latest = "/services/checkout/environments/production/rollback"

	n := len(f.Calls())
	assertEnd(p, p.awaitEnd(p.ask(latest, http.StatusAccepted).ID), "rolled_back", true)
	assertRuns(t, f, allRun("v1"))
	assertSigned(t, f, n, "v1", healthSecret)

	n = len(f.Calls())
	assertEnd(p, p.awaitEnd(p.ask(latest, http.StatusAccepted).ID), "rolled_back", true)
	assertRuns(t, f, allRun("v2"))
	assertSigned(t, f, n, "v2", healthzSecret)

	n = len(f.Calls())
	assertEnd(p, p.awaitEnd(p.ask(latest, http.StatusAccepted).ID), "rolled_back", true)
	assertSigned(t, f, n, "v1", healthSecret)
	if _, weights := b.last(); len(weights) != 3 || weights[0] == 0 || weights[1] == 0 || weights[2] == 0 {
		t.Errorf("left with weights %v", weights)
	}
}

// TestRollback_OfFailureUsesItsRules turns a deployment back by itself, in which a target has a past of its own.
func TestRollback_OfFailureUsesItsRules(t *testing.T) {
	t.Parallel()
	f := movedHealth(t, 3)
	p := serve(t, dbtest.New(t))
	all := request(f, "v1", object{"type": "rolling", "batch_size": 3})
	assertEnd(p, p.awaitEnd(p.post(judged(all, "v1", "/health", healthSecret)).ID), "completed", true)
	for _, target := range f.Targets[1:] {
		target.SetBehaviour(func(b *testtarget.Behaviour) { b.UnhealthyOn = "v3" })
	}
	one := request(f, "v2", nil)
	delete(one, "strategy")
	one["targets"] = part[[]object](one, "targets")[:1]
	assertEnd(p, p.awaitEnd(p.post(judged(one, "v2", "/healthz", healthzSecret)).ID), "completed", true)

	n := len(f.Calls())
	d := p.awaitEnd(p.post(judged(all, "v3", "/health", "whsec_dGhpcmQtdGhpcmQtdGhpcmQtdGhpcmQ=")).ID)
	assertEnd(p, d, "rolled_back", false)
	assertRuns(t, f, func(i int) string { return []string{"v2", "v1", "v1"}[i] })
	for _, c := range f.Calls()[n:] {
		secret := map[string]string{"v1": healthSecret, "v2": healthzSecret}[c.Version]
		if c.Action == "rollback" && !signedWith(&c, secret) {
			t.Errorf("%s went back to %s, signed otherwise", c.Target, c.Version)
		}
	}
}

// TestRollback_ChecksOtherSlotByItsRules switches back to a slot that answers as its version did.
func TestRollback_ChecksOtherSlotByItsRules(t *testing.T) {
	t.Parallel()
	f := movedHealth(t, 4)
	b := newBalancer(t, f, oneSide)
	p := serve(t, dbtest.New(t))
	body := inSlots(routed(b, "v1", blueGreen(nil)))
	assertEnd(p, p.awaitEnd(p.post(judged(body, "v1", "/health", healthSecret)).ID), "completed", true)   // to green
	assertEnd(p, p.awaitEnd(p.post(judged(body, "v1", "/health", healthSecret)).ID), "completed", true)   // to blue
	assertEnd(p, p.awaitEnd(p.post(judged(body, "v2", "/healthz", healthzSecret)).ID), "completed", true) // to green
	n := len(f.Calls())
	back := p.awaitEnd(p.ask("/services/checkout/environments/production/rollback", http.StatusAccepted).ID)
	assertEnd(p, back, "rolled_back", true)
	assertServes(p, b, back, "blue")
	assertRuns(t, f, allRun("v1"))
	assertSigned(t, f, n, "v1", healthSecret)
}

// TestRollback_ReportsUnknownRules goes back to a version that was never verified.
func TestRollback_ReportsUnknownRules(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "v0")
	p := serve(t, dbtest.New(t))
	d := p.awaitEnd(p.post(request(f, "v1", object{"type": "rolling"})).ID)
	back := p.awaitEnd(p.ask("/deployments/"+d.ID+"/rollback", http.StatusAccepted).ID)
	assertEnd(p, back, "rolled_back", true)
	said := false
	for _, e := range list[struct{ Type, Message string }](p, "/deployments/"+back.ID+"/events") {
		said = said || e.Type == "target.intent" && strings.Contains(e.Message, "how v0 was verified here is unknown")
	}
	if !said {
		t.Error("no event says that the rules are those of the new version")
	}
}
