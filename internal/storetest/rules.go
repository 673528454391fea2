package storetest

import (
	"testing"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
)

// aClaimKnowsHowATargetWasVerified when the turn of a deployment has come: by the checks, the secret and the webhook of the
// deployment that verified it, also when one in between has failed there. What was verified at another address does not count,
// nor what never was.
func aClaimKnowsHowATargetWasVerified(t *testing.T, s Store) {
	ended := func(path string, state rollout.TargetState, change func(r *storage.NewDeployment)) {
		t.Helper()
		r := NewRequest("checkout", 3)
		r.Deployment.Spec.Checks[0].Path = path
		r.Deployment.Spec.Checks[0].Headers = map[string]secret.Secret{"X-Key": secret.Secret("key of " + path)}
		r.Deployment.DeploySecret = secret.Secret("whsec_c2VjcmV0" + map[string]string{"/one": "MQ==", "/two": "Mg=="}[path])
		for i := range r.Targets {
			r.Targets[i].DeployURL = r.Targets[i].Address + path + "/deploy"
		}
		change(&r)
		createDeployment(t, s, r)
		snap := claimOne(t, s, "r1")
		d := &snap.Deployment
		d.State, d.StartedAt = rollout.StateInProgress, d.CreatedAt
		saveStep(t, s, snap, storage.SaveRequest{})
		for i := range snap.Targets[:2] {
			target := &snap.Targets[i]
			target.State, target.Phase, target.CallsSent, target.Version = state, rollout.PhaseSettled, 1, target.DesiredVersion
		}
		saveStep(t, s, snap, storage.SaveRequest{Targets: snap.Targets})
		finishDeployment(t, s, snap, rollout.StateCompleted)
	}
	ended("/one", rollout.TargetUpdated, func(*storage.NewDeployment) {})
	ended("/two", rollout.TargetFailed, func(*storage.NewDeployment) {})

	r := NewRequest("checkout", 3)
	r.Targets[1].Address = "http://elsewhere"
	createDeployment(t, s, r)
	snap := claimOne(t, s, "r1")
	saveStep(t, s, snap, storage.SaveRequest{Release: true})
	for range 2 { // and as it was stored
		spec := &snap.Deployment.Spec
		if len(spec.Rules) != 1 || spec.Rules[0].Checks[0].Path != "/one" || spec.Rules[0].Checks[0].Headers["X-Key"].Reveal() != "key of /one" ||
			spec.Rules[0].DeploySecret.Reveal() != "whsec_c2VjcmV0MQ==" {
			t.Fatalf("the rules are %+v", spec.Rules)
		}
		for i, want := range []*rollout.TargetRules{
			{Back: rollout.RulesRef{Version: "v2", Set: 1, DeployURL: r.Targets[0].Address + "/one/deploy"}}, nil, nil,
		} {
			got := snap.Targets[i].Rules
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("target %d goes by %+v, not %+v", i, got, want)
			}
		}
		snap = claimOne(t, s, "r2")
	}
}
