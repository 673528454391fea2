package api

import (
	"maps"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// AccessTable is the permission that each route needs; empty for those that need none.
func AccessTable() map[string]string {
	needs := map[string]string{}
	for route, rule := range accessTable() {
		needs[route] = string(rule.needs)
	}
	return needs
}

func router(c Config) (chi.Router, error) {
	agreed, err := loadContract()
	if err != nil {
		return nil, err
	}
	s := &server{who: c.Who, contract: agreed, access: accessTable()}
	s.applyDefaults(c)
	return s.newRouter(c), nil
}

// RoutesOf is what the router serves.
func RoutesOf(c Config) (map[string]bool, error) {
	routes, err := router(c)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	err = chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		found[method+" "+route] = true
		return nil
	})
	return found, err
}

// MustBeListedWithout is what making the API says when one route is not in the table.
func MustBeListedWithout(c Config, route string) error {
	routes, err := router(c)
	if err != nil {
		return err
	}
	table := maps.Clone(accessTable())
	delete(table, route)
	return requireAccessRules(routes, table)
}
