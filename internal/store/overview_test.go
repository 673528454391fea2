package store_test

import (
	"slices"
	"testing"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store"
)

func TestShares_UseDefinitionElseNewestDeployment(t *testing.T) {
	t.Parallel()
	s := open(t)
	keys := []authz.Scope{{Service: "checkout", Environment: "production"}, {Service: "nothing", Environment: "here"}}
	shares, err := s.VersionCounts(ctx(t), keys)
	must(t, err)
	if len(shares) != 0 {
		t.Errorf("%+v", shares)
	}
	snap := started(t, s, "checkout", "r1") // web-0, web-1 and web-2
	target := snap.Targets[0]               // web-2
	target.Version, target.Health, target.CallsSent = "v2", healthcheck.Healthy, 1
	save(t, s, snap, storage.SaveRequest{Targets: []rollout.Target{target}})
	const service, environment = "checkout", "production"
	for _, c := range []struct {
		definition string
		want       []catalog.VersionCount
	}{
		{"", []catalog.VersionCount{
			{Service: service, Environment: environment, Health: healthcheck.Unknown, Targets: 2},
			{Service: service, Environment: environment, Version: "v2", Health: healthcheck.Healthy, Targets: 1},
		}},
		{`{"strategy": {"type": "rolling"}}`, []catalog.VersionCount{
			{Service: service, Environment: environment, Health: healthcheck.Unknown, Targets: 2},
			{Service: service, Environment: environment, Version: "v2", Health: healthcheck.Healthy, Targets: 1},
		}},
		{`{"targets": [{"id": "web-2", "address": "HTTP://10.0.0.2:80/"}, {"id": "web-9", "address": "http://9", "version": "v0"}]}`, []catalog.VersionCount{
			{Service: service, Environment: environment, Version: "v0", Health: healthcheck.Unknown, Targets: 1},
			{Service: service, Environment: environment, Version: "v2", Health: healthcheck.Healthy, Targets: 1},
		}},
	} {
		if c.definition != "" {
			define(t, s, c.definition)
		}
		shares, err := s.VersionCounts(ctx(t), keys)
		must(t, err)
		if !slices.Equal(shares, c.want) {
			t.Errorf("with the definition %q: %+v", c.definition, shares)
		}
	}
}

func TestUnfinished_ActiveBeforePending(t *testing.T) {
	t.Parallel()
	s := open(t)
	begun := started(t, s, "checkout", "r1").Deployment.ID
	waits := createDeployment(t, s, request("checkout", 1)).ID
	ended := started(t, s, "billing", "r2")
	finish(t, s, ended, rollout.StateCompleted)
	for _, c := range []struct {
		scopes authz.Scopes
		want   []string
	}{
		{authz.Everywhere(), []string{begun, waits}},
		{authz.Scopes{{Service: "checkout", Environment: authz.Any}}, []string{begun, waits}},
		{authz.Scopes{{Service: "billing", Environment: authz.Any}}, nil},
		{nil, nil},
	} {
		list, err := s.UnfinishedDeployments(ctx(t), c.scopes)
		must(t, err)
		var got []string
		for i := range list {
			got = append(got, list[i].ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("within %v: %v, not %v", c.scopes, got, c.want)
		}
	}
}

func TestLatest_ReadsFewRows(t *testing.T) {
	t.Parallel()
	wantPlan(t, open(t), "Index Scan using deployments_newest_of_pair on deployments e", store.LatestSQL, "checkout", "production")
}
