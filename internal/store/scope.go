package store

import (
	"fmt"

	"rollcall/internal/authz"
)

// withinSQL returns the condition that a row's service and environment are in the scopes whose services and environments are the
// parameters of these numbers. Both are text arrays of the same length; see scopeArrays.
func withinSQL(service, environment string, services, environments int) string {
	return fmt.Sprintf(`EXISTS (SELECT FROM unnest($%d::text[], $%d::text[]) AS scope(in_service, in_environment)
		WHERE scope.in_service IN ('*', %s) AND scope.in_environment IN ('*', %s))`, services, environments, service, environment)
}

// scopeArrays returns the scopes as the parameters of within. Both are empty for no scopes, with which nothing is within.
func scopeArrays(scopes authz.Scopes) (services, environments []string) {
	services, environments = make([]string, len(scopes)), make([]string, len(scopes))
	for i, scope := range scopes {
		services[i], environments[i] = scope.Service, scope.Environment
	}
	return services, environments
}
