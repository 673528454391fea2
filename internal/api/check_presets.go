package api

import "rollcall/internal/api/gen"

// checkPreset is how the health endpoint of a framework answers, as http checks read it.
type checkPreset struct {
	// path is where it usually is; empty when there is no such place.
	path string
	// pointer leads to the status; empty when the whole answer is it, or the status line says all.
	pointer          string
	pass, warn, fail []string
	warnStatus       []string
}

// checkPresets is the table of presets; docs/explanation/health.md has the versions and sources. What a framework itself calls unknown
// is in no list.
var checkPresets = map[gen.CheckRequestPreset]checkPreset{
	"spring": {
		path: "/actuator/health", pointer: "/status", pass: []string{"UP"}, fail: []string{"DOWN", "OUT_OF_SERVICE"},
	},
	"aspnet": {
		path: "/healthz", pass: []string{"Healthy"}, warn: []string{"Degraded"}, fail: []string{"Unhealthy"},
	},
	"health-go": {
		path: "/status", pointer: "/status", pass: []string{"OK"}, warn: []string{"Partially Available"}, fail: []string{"Unavailable"},
	},
	"microprofile": {
		path: "/health/ready", pointer: "/status", pass: []string{"UP"}, fail: []string{"DOWN"},
	},
	"consul": {warnStatus: []string{"429"}},
}

// fillInPreset returns the check with what its preset says, wherever the check says nothing itself.
func fillInPreset(g gen.CheckRequest) *gen.CheckRequest {
	p := checkPresets[*g.Preset]
	if g.URL == nil && g.Path == nil && p.path != "" {
		g.Path = &p.path
	}
	if g.StatusPointer == nil && p.pointer != "" {
		g.StatusPointer = &p.pointer
	}
	for _, list := range []struct {
		given  **[]string
		preset []string
	}{{&g.PassValues, p.pass}, {&g.WarnValues, p.warn}, {&g.FailValues, p.fail}} {
		if *list.given == nil && list.preset != nil {
			*list.given = &list.preset
		}
	}
	if g.WarnStatus == nil && p.warnStatus != nil {
		g.WarnStatus = &p.warnStatus
	}
	return &g
}
