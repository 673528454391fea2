package metrics

import (
	"net/http"
	"slices"

	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
)

// other replaces every unexpected value, so that requests cannot create series without limit.
const other = "other"

func allowedLabel(value string, known []string) string {
	if slices.Contains(known, value) {
		return value
	}
	return other
}

func callActions() []string {
	return []string{string(rollout.CallDeploy), string(rollout.CallRollback)}
}

func callResults() []string {
	return []string{
		string(rollout.ResultDone), string(rollout.ResultAccepted), string(rollout.ResultRetry),
		string(rollout.ResultRefused), string(rollout.ResultFenced), string(rollout.ResultNotSent),
		string(rollout.ResultUnknown),
	}
}

func checkStatuses() []string {
	return []string{
		string(healthcheck.Healthy), string(healthcheck.Degraded), string(healthcheck.Unhealthy),
		string(healthcheck.Unknown),
	}
}

// finalStates returns the states in which a deployment ends.
func finalStates() []string {
	var names []string
	for _, s := range rollout.States() {
		if s.Terminal() {
			names = append(names, string(s))
		}
	}
	return names
}

func httpMethods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions,
	}
}
