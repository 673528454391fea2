package rollout

import (
	"cmp"
	"reflect"

	"rollcall/internal/duration"
	"rollcall/internal/healthcheck"
	"rollcall/internal/secret"
)

// Rules are by which checks a target is judged, and how it is called.
type Rules struct {
	// DeploymentID is the deployment that first had them.
	DeploymentID    string              `json:"deployment_id"`
	Checks          []healthcheck.Check `json:"health_checks"`
	HealthyDeadline duration.Duration   `json:"healthy_deadline"`
	Deploy          Deploy              `json:"deploy"`
	TLS             *TLS                `json:"tls,omitempty"`
	DeploySecret    secret.Secret       `json:"deploy_secret,omitempty"`
}

// RulesRef says by which rules a target is brought to a version.
type RulesRef struct {
	// Version is the version that was verified at the target by these rules; empty when none is known.
	Version string `json:"version,omitempty"`
	// Set is their number in Spec.Rules, from 1; 0 is the deployment's own.
	Set int `json:"set,omitempty"`
	// DeployURL is where the target is called; empty is the target's own.
	DeployURL string `json:"deploy_url,omitempty"`
}

// TargetRules are the rules of a target, for either direction. The zero value: the deployment's own for both, because
// nothing else is known.
type TargetRules struct {
	Forward RulesRef `json:"forward"`
	Back    RulesRef `json:"back"`
}

// Verified is how a target was judged and called when it was last verified.
type Verified struct {
	Version   string
	Address   string
	DeployURL string
	Rules     Rules
}

// rulesRef returns the reference that holds for a direction. What is known of another version than the one to go back to does not
// count.
func (t *Target) rulesRef(back bool) RulesRef {
	switch {
	case t.Rules == nil:
		return RulesRef{}
	case !back:
		return t.Rules.Forward
	case t.Rules.Back.Version == t.PreviousVersion:
		return t.Rules.Back
	default:
		return RulesRef{}
	}
}

// RulesKnown reports whether it is known how the version that the target should run was verified there before.
func (t *Target) RulesKnown() bool {
	version := t.rulesRef(t.RollingBack).Version
	return version != "" && version == t.ExpectedVersion()
}

// RulesFor returns the rules by which the target would be brought to a version again, as far as known.
func (t *Target) RulesFor(version string) RulesRef {
	switch {
	case version == "" || t.Rules == nil && version != t.DesiredVersion:
		return RulesRef{}
	case version == t.DesiredVersion:
		ref := t.rulesRef(false)
		ref.Version = version
		return ref
	case t.Rules.Back.Version == version:
		return t.Rules.Back
	default:
		return RulesRef{}
	}
}

// withRules returns the spec with the rules of a set in the place of its own.
func (s *Spec) withRules(set int) *Spec {
	if set < 1 || set > len(s.Rules) {
		return s
	}
	view, rules := *s, &s.Rules[set-1]
	view.Checks, view.HealthyDeadline, view.Deploy, view.TLS = rules.Checks, rules.HealthyDeadline, rules.Deploy, rules.TLS
	view.ownChecks = max(s.ownChecks, len(s.Checks))
	return &view
}

// ForTarget returns the spec by which the target is called and judged on its present way.
func (s *Spec) ForTarget(t *Target) *Spec { return s.ForDirection(t, t.RollingBack) }

// ForDirection returns the spec by which the target is called and judged forward, or on its way back.
func (s *Spec) ForDirection(t *Target, back bool) *Spec { return s.withRules(t.rulesRef(back).Set) }

// ProbedBy returns the spec whose checks the target is probed with. Before its first call it is asked what it runs: by the checks
// with which that was verified, if they can read it and it is still what the target should run.
func (s *Spec) ProbedBy(t *Target) *Spec {
	if t.Phase == PhaseNew && t.Rules != nil && t.Rules.Back.Version != "" && t.Rules.Back.Version == t.Version {
		if view := s.withRules(t.Rules.Back.Set); view.VersionCheck() >= 0 {
			return view
		}
	}
	return s.ForTarget(t)
}

// CheckStates returns how many states of checks a target needs at least: a server of an older version counts those of the
// deployment's own checks, whatever the target is judged by.
func (s *Spec) CheckStates() int { return max(s.ownChecks, len(s.Checks)) }

// ForTarget returns the deployment as the target is called in its name: with the secret, the trust and the times of its rules.
func (d *Deployment) ForTarget(t *Target) *Deployment {
	ref := t.rulesRef(t.RollingBack)
	if ref.Set < 1 || ref.Set > len(d.Spec.Rules) {
		return d
	}
	view := *d
	view.Spec, view.DeploySecret = *d.Spec.withRules(ref.Set), d.Spec.Rules[ref.Set-1].DeploySecret
	return &view
}

// CallURL returns the address that receives the deploy webhook on the target's present way.
func (t *Target) CallURL() string { return cmp.Or(t.rulesRef(t.RollingBack).DeployURL, t.DeployURL) }

// VerifiedTarget returns how a target of the deployment was judged and called that has been verified; false for any other.
func (d *Deployment) VerifiedTarget(t *Target) (Verified, bool) {
	if t.State != TargetUpdated && t.State != TargetRolledBack {
		return Verified{}, false
	}
	v := Verified{
		Version: cmp.Or(t.ExpectedVersion(), t.Version), Address: t.Address, DeployURL: t.CallURL(),
		Rules: Rules{
			DeploymentID: d.ID, Checks: d.Spec.Checks, HealthyDeadline: d.Spec.HealthyDeadline, Deploy: d.Spec.Deploy, TLS: d.Spec.TLS,
			DeploySecret: d.DeploySecret,
		},
	}
	if set := t.rulesRef(t.RollingBack).Set; set >= 1 && set <= len(d.Spec.Rules) {
		v.Rules = d.Spec.Rules[set-1]
	}
	return v, v.Version != ""
}

// LearnWayBack sets the rules for the rollback of each target of a deployment that has not begun: those by which each was
// last verified at its address. It reports whether anything is known.
func (s *Snapshot) LearnWayBack(verified map[string]Verified) bool {
	learned := false
	for i := range s.Targets {
		t := &s.Targets[i]
		v, known := verified[t.ID]
		if !known || !SameAddress(v.Address, t.Address) {
			continue
		}
		rules := TargetRules{}
		if t.Rules != nil {
			rules = *t.Rules
		}
		rules.Back = RulesRef{Version: v.Version, Set: s.Deployment.addRules(&v.Rules)}
		if v.DeployURL != t.DeployURL {
			rules.Back.DeployURL = v.DeployURL
		}
		t.Rules, learned = &rules, true
	}
	return learned
}

// addRules returns the number of the rules among those of the deployment; they are added when they are not there.
func (d *Deployment) addRules(rules *Rules) int {
	own := Rules{
		Checks: d.Spec.Checks, HealthyDeadline: d.Spec.HealthyDeadline, Deploy: d.Spec.Deploy, TLS: d.Spec.TLS, DeploySecret: d.DeploySecret,
	}
	if own.equal(rules) {
		return 0
	}
	for i := range d.Spec.Rules {
		if d.Spec.Rules[i].equal(rules) {
			return i + 1
		}
	}
	d.Spec.Rules = append(d.Spec.Rules[:len(d.Spec.Rules):len(d.Spec.Rules)], *rules)
	return len(d.Spec.Rules)
}

// equal reports whether two sets say the same, whatever deployment had them.
func (r *Rules) equal(o *Rules) bool {
	a, b := *r, *o
	a.DeploymentID, b.DeploymentID = "", ""
	return reflect.DeepEqual(a, b)
}
