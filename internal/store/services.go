package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// servicesSQL lists services in environments after ($1, $2), all when $4 is true, else those within the scopes $5, $6. The
// recursion hops from one to the next along an index, so that a million deployments of a few services cost no more than a few.
func servicesSQL() string {
	return `
	WITH RECURSIVE deployed AS (
		(SELECT service, environment FROM deployments WHERE (service, environment) > ($1, $2)
			ORDER BY service, environment LIMIT 1)
		UNION ALL
		SELECT next.service, next.environment FROM deployed p CROSS JOIN LATERAL (
			SELECT service, environment FROM deployments WHERE (service, environment) > (p.service, p.environment)
			ORDER BY service, environment LIMIT 1) next
	), defined AS (
		SELECT service, environment FROM definitions WHERE body IS NOT NULL AND (service, environment) > ($1, $2)
			AND ($4 OR ` + filter.Within("definitions.service", "definitions.environment", 5, 6) + `)
		ORDER BY service, environment LIMIT $3
	), known AS (
		SELECT service, environment FROM (SELECT service, environment FROM deployed
			WHERE $4 OR ` + filter.Within("deployed.service", "deployed.environment", 5, 6) + ` LIMIT $3) hopped
		UNION SELECT service, environment FROM defined
		ORDER BY service, environment LIMIT $3
	)
	SELECT k.service, k.environment, EXISTS (SELECT FROM defined f WHERE (f.service, f.environment) = (k.service, k.environment)),
		(SELECT id FROM deployments l WHERE l.service = k.service AND l.environment = k.environment
			ORDER BY l.created_at DESC, l.id DESC LIMIT 1)
	FROM known k ORDER BY k.service, k.environment`
}

// Services lists the services by environment within the scopes that have a definition or had a deployment, in the order of their names.
func (s *Store) Services(ctx context.Context, scopes authz.Scopes, p storage.Page) (storage.List[catalog.Service], error) {
	after, err := pg.ParseKeyCursor(p.Cursor)
	if err != nil {
		return storage.List[catalog.Service]{}, err
	}
	limit := pg.LimitOf(p)
	services, environments := filter.ScopeArrays(scopes)
	var last []string
	items, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (catalog.Service, error) {
		var found catalog.Service
		var id pg.NullText
		err := row.Scan(&found.Service, &found.Environment, &found.Defined, &id)
		last = append(last, string(id))
		return found, err //nolint:wrapcheck // wrapped below
	}, servicesSQL(), after.Service, after.Environment, limit+1, scopes.Unrestricted(), services, environments)
	if err == nil {
		err = s.attachLast(ctx, items, last)
	}
	if err != nil {
		return storage.List[catalog.Service]{}, pg.Wrap("list services", err)
	}
	return pg.CutPage(items, limit, func(last *catalog.Service) string {
		return pg.KeyCursor{Service: last.Service, Environment: last.Environment}.String()
	}), nil
}

// attachLast reads the newest deployments, whose ids stand in the order of the services.
func (s *Store) attachLast(ctx context.Context, services []catalog.Service, last []string) error {
	ids := make([]string, 0, len(last))
	for _, id := range last {
		if id != "" {
			ids = append(ids, id)
		}
	}
	deployments, err := pg.QueryAll(ctx, s.db, scanDeployment,
		`SELECT `+deploymentColumns+` FROM deployments d WHERE d.id = ANY ($1::uuid[])`, ids)
	if err != nil {
		return err
	}
	byID := make(map[string]*rollout.Deployment, len(deployments))
	for i := range deployments {
		byID[deployments[i].ID] = &deployments[i]
	}
	for i := range services {
		services[i].Last = byID[last[i]]
	}
	return nil
}
