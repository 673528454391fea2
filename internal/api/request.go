package api

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
)

// Defaults and bounds of a request that are not a number in openapi.yaml.
const (
	defaultEnvironment     = "production"
	defaultHealthyDeadline = time.Minute
	minHealthyDeadline     = 100 * time.Millisecond
	maxHealthyDeadline     = 24 * time.Hour
	maxLabelKey            = 63
)

// request reads the body of POST /deployments, whose schema has been checked, and collects what is wrong with it.
type request struct {
	findings
	body         *gen.DeploymentRequest
	checkAddress func(address string) error
	// checkTrust is nil when nothing is said against any trust.
	checkTrust func(*rollout.TLS) error
	// checkCommand is nil when every command may be run.
	checkCommand func(name string) error
	// masked allows "***" for secrets that are known: those of a definition that is replaced.
	masked bool
	// partial allows a body to leave the targets out: a definition may have them.
	partial bool
}

// read gives the deployment without its strategy, and its targets.
func (q *request) read(ctx context.Context) (rollout.Deployment, []rollout.Target, error) {
	b := q.body
	q.version(b.Version, "/version")
	deploy, secret := q.deploy()
	d := rollout.Deployment{
		Service: b.Service, Environment: or(b.Environment, defaultEnvironment), Version: b.Version,
		Kind: rollout.KindDeploy, RequestedBy: caller(ctx), Labels: q.labels(), DeploySecret: secret,
		Spec: rollout.Spec{
			Deploy: deploy, Checks: q.checks(), Force: or(b.Force, false),
			HealthyDeadline: q.duration(b.HealthyDeadline, "/healthy_deadline",
				bounds{defaultHealthyDeadline, minHealthyDeadline, maxHealthyDeadline}),
			OnConflict: rollout.OnConflict(or(b.OnConflict, gen.OnConflict(rollout.OnConflictQueue))),
			Traffic:    q.traffic(),
			TLS:        q.tls(b.TLS),
		},
	}
	targets := q.targets(deploy.Path)
	return d, targets, q.err()
}

func (q *request) labels() map[string]string {
	labels := or(q.body.Labels, gen.Labels{})
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		length := utf8.RuneCountInString(key)
		if length < 1 || length > maxLabelKey || strings.ContainsFunc(key, unicode.IsControl) {
			q.add("/labels/"+escapePointer(key), "a label's key must be 1 to %d characters, none of them control characters",
				maxLabelKey)
		}
	}
	if given, there := labels[rollout.LabelCommitTime]; there {
		if _, err := time.Parse(time.RFC3339, given); err != nil {
			q.add("/labels/"+rollout.LabelCommitTime, "is when the change was committed, such as 2026-01-31T09:30:00Z")
		}
	}
	return labels
}
