// Package filter turns scopes and filters into conditions on rows of a service and environment.
package filter

import (
	"fmt"
	"strings"

	"rollcall/internal/authz"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// Within returns the condition that a row's service and environment are within the scopes whose services and environments are
// the parameters of these numbers. Both are text arrays of the same length; see ScopeArrays.
func Within(service, environment string, services, environments int) string {
	return fmt.Sprintf(`EXISTS (SELECT FROM unnest($%d::text[], $%d::text[]) AS scope(in_service, in_environment)
		WHERE scope.in_service IN ('*', %s) AND scope.in_environment IN ('*', %s))`, services, environments, service, environment)
}

// ScopeArrays returns the scopes as the parameters of Within. Both are empty for no scopes, with which no row is within them.
func ScopeArrays(scopes authz.Scopes) (services, environments []string) {
	services, environments = make([]string, len(scopes)), make([]string, len(scopes))
	for i, scope := range scopes {
		services[i], environments[i] = scope.Service, scope.Environment
	}
	return services, environments
}

// Deployments returns the WHERE clause of a filter and its arguments, for deployments d or another table d with the columns
// that it names; empty when it selects everything. Values are always parameters.
func Deployments(scopes authz.Scopes, f storage.Filter, after *pg.TimeCursor) (string, []any) {
	var terms []string
	var args []any
	add := func(term string, values ...any) {
		places := make([]any, len(values))
		for i := range values {
			places[i] = len(args) + i + 1
		}
		terms, args = append(terms, fmt.Sprintf(term, places...)), append(args, values...)
	}
	for _, equal := range []struct{ column, value string }{
		{"service", f.Service}, {"environment", f.Environment}, {"version", f.Version}, {"state", string(f.State)},
	} {
		if equal.value != "" {
			add("d."+equal.column+" = $%d", equal.value)
		}
	}
	if !scopes.Unrestricted() { // else the plan shall be as if there were no scopes
		services, environments := ScopeArrays(scopes)
		args = append(args, services, environments)
		terms = append(terms, Within("d.service", "d.environment", len(args)-1, len(args)))
	}
	if !f.Since.IsZero() {
		add("d.created_at >= $%d", f.Since)
	}
	if !f.Until.IsZero() {
		add("d.created_at < $%d", f.Until)
	}
	if after != nil {
		add("(d.created_at, d.id) < ($%d, $%d::uuid)", after.Time, after.ID)
	}
	if len(terms) == 0 {
		return "", nil
	}
	return "WHERE " + strings.Join(terms, " AND "), args
}
