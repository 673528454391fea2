package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"rollcall/internal/authz"
	"rollcall/internal/catalog"
	"rollcall/internal/rollout"
	"rollcall/internal/store/filter"
	"rollcall/internal/store/pg"
)

// maxUnfinished bounds the list of UnfinishedDeployments.
const maxUnfinished = 200

// UnfinishedDeployments lists the deployments within the scopes that have not ended, newest first, at most 200. Those that
// have begun come before those that wait.
func (s *Store) UnfinishedDeployments(ctx context.Context, scopes authz.Scopes) ([]rollout.Deployment, error) {
	services, environments := filter.ScopeArrays(scopes)
	sql := fmt.Sprintf(`SELECT %s FROM deployments d
		WHERE d.finished_at IS NULL AND ($1 OR %s)
		ORDER BY d.started_at IS NULL, d.created_at DESC, d.id DESC LIMIT %d`,
		deploymentColumns, filter.Within("d.service", "d.environment", 2, 3), maxUnfinished)
	list, err := pg.QueryAll(ctx, s.db, scanDeployment, sql, scopes.Unrestricted(), services, environments)
	return list, pg.Wrap("list the deployments that have not ended", err)
}

// sharesSQL counts what runs on the targets of some definitions; where a definition names none, on those of the newest
// deployment. Addresses are compared by the caller where they are not spelled alike.
const sharesSQL = `
	WITH keys AS (SELECT * FROM unnest($1::text[], $2::text[]) AS p(service, environment)),
	defined AS (
		SELECT p.service, p.environment, e->>'id' AS target_id, e->>'version' AS version, e->>'address' AS address
		FROM keys p JOIN definitions f ON f.service = p.service AND f.environment = p.environment
			CROSS JOIN LATERAL jsonb_array_elements(
				CASE jsonb_typeof(f.body->'targets') WHEN 'array' THEN f.body->'targets' ELSE '[]' END) e),
	deployed AS (
		SELECT p.service, p.environment, t.target_id, t.version, t.address
		FROM keys p
			CROSS JOIN LATERAL (SELECT id FROM deployments d WHERE d.service = p.service AND d.environment = p.environment
				ORDER BY d.created_at DESC, d.id DESC LIMIT 1) newest
			JOIN deployment_targets t ON t.deployment_id = newest.id
		WHERE NOT EXISTS (SELECT FROM defined x WHERE x.service = p.service AND x.environment = p.environment)),
	placed AS (
		SELECT k.service, k.environment, coalesce(k.address, '') AS address, coalesce(k.version, '') AS said, r.target_id IS NOT NULL AS seen,
			coalesce(r.version, '') AS version, coalesce(r.health, 'unknown') AS feels, coalesce(` + rememberedAddress + `, '') AS known
		FROM (SELECT * FROM defined UNION ALL SELECT * FROM deployed) k LEFT JOIN remembered_targets r
				ON r.service = k.service AND r.environment = k.environment AND r.target_id = k.target_id
			` + joinKnownAt + `)
	SELECT service, environment, CASE WHEN address <> known THEN address ELSE '' END AS place,
		CASE WHEN seen AND address = known THEN '' ELSE said END AS declared, seen, version, feels,
		CASE WHEN address <> known THEN known ELSE '' END AS known_place, count(*)
	FROM placed GROUP BY service, environment, place, declared, seen, version, feels, known_place
	ORDER BY service, environment`

// VersionCounts counts what runs where, for some services in environments: by name, and of each what most targets run first.
func (s *Store) VersionCounts(ctx context.Context, keys []authz.Scope) ([]catalog.VersionCount, error) {
	services, environments := filter.ScopeArrays(keys)
	counts := map[catalog.VersionCount]int{}
	_, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (struct{}, error) {
		var tally catalog.VersionCount
		var k knownTarget
		var n int
		err := row.Scan(append(append([]any{&tally.Service, &tally.Environment}, k.scanFields()...), &n)...)
		tally.Version, tally.Health = k.versionAndHealth()
		counts[tally] += n
		return struct{}{}, err //nolint:wrapcheck // wrapped below
	}, sharesSQL, services, environments)
	if err != nil {
		return nil, pg.Wrap("count what runs where", err)
	}
	shares := make([]catalog.VersionCount, 0, len(counts))
	for tally, n := range counts {
		tally.Targets = n
		shares = append(shares, tally)
	}
	slices.SortFunc(shares, func(a, b catalog.VersionCount) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Environment, b.Environment), b.Targets-a.Targets,
			strings.Compare(a.Version, b.Version), strings.Compare(string(a.Health), string(b.Health)))
	})
	return shares, nil
}
