package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"rollcall/internal/catalog"
	"rollcall/internal/healthcheck"
	"rollcall/internal/rollout"
	"rollcall/internal/storage"
	"rollcall/internal/store/pg"
)

// What is remembered of a target (a row r) holds for the address that it had in the deployment that the row names: a server
// of an older version writes no address, but it does write that. Only when that deployment was removed the row says it.
const (
	rememberedAddress = `coalesce(known_at.address, r.address)`
	joinKnownAt       = `LEFT JOIN deployment_targets known_at ON known_at.deployment_id = r.deployment_id AND known_at.target_id = r.target_id`
)

// fenceAddressesSQL keeps the fences of the calls in a save, by address, and the work that may be running there. Saves of
// several deployments take the rows in one order, and so never wait for each other in a circle.
const fenceAddressesSQL = `
	INSERT INTO address_fences AS a (address, fence, work, updated_at)
	SELECT u.address, u.fence, u.work::jsonb, clock_timestamp()
	FROM d, unnest(@fenced_address::text[], @fenced::bigint[], @fenced_work::text[]) AS u (address, fence, work)
	ORDER BY u.address
	ON CONFLICT (address) DO UPDATE SET fence = greatest(a.fence, excluded.fence), work = excluded.work, updated_at = excluded.updated_at`

// atAddress is what is kept of an address: its highest fence, and the work that may be running there; nil when there is none.
type atAddress struct {
	Address string
	Fence   int64
	Work    *rollout.Work
}

// addFences adds what fenceAddressesSQL needs, each address once: of the targets whose call has just been written down, and of
// those that leave work behind.
func addFences(args pgx.NamedArgs, targets []rollout.Target) error {
	kept := map[string]atAddress{}
	for i := range targets {
		t := &targets[i]
		work, known := t.LeftBehind()
		if !known {
			continue
		}
		at := rollout.CanonicalAddress(t.Address)
		k := kept[at]
		k.Fence = max(k.Fence, t.Fence)
		if work.Until.After(k.knownWork().Until) {
			k.Work = &work
		}
		kept[at] = k
	}
	addresses, fences, works := make([]string, 0, len(kept)), make([]int64, 0, len(kept)), make([]pgtype.Text, 0, len(kept))
	for at, k := range kept {
		work := pgtype.Text{}
		if k.Work != nil {
			b, err := json.Marshal(k.Work)
			if err != nil {
				return fmt.Errorf("encode the work at %s: %w", at, err)
			}
			work = pg.TextArg(string(b))
		}
		addresses, fences, works = append(addresses, at), append(fences, k.Fence), append(works, work)
	}
	args["fenced_address"], args["fenced"], args["fenced_work"] = addresses, fences, works
	return nil
}

func (k *atAddress) knownWork() rollout.Work {
	if k.Work == nil {
		return rollout.Work{}
	}
	return *k.Work
}

// learnAddresses brings the targets up to what was written down for their addresses, whatever they were called then:
// fences, and work that may be running.
func learnAddresses(ctx context.Context, tx pgx.Tx, claimed []storage.Claimed) error {
	var addresses []string
	for i := range claimed {
		for j := range claimed[i].Snapshot.Targets {
			addresses = append(addresses, rollout.CanonicalAddress(claimed[i].Snapshot.Targets[j].Address))
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	slices.Sort(addresses)
	known, err := pg.QueryAll(ctx, tx, pgx.RowToStructByPos[atAddress],
		`
		SELECT address, fence, CASE WHEN (work ->> 'until')::timestamptz > clock_timestamp() THEN work END
		FROM address_fences WHERE address = ANY ($1)`, slices.Compact(addresses))
	if err != nil {
		return err
	}
	byAddress := make(map[string]atAddress, len(known))
	for _, k := range known {
		byAddress[k.Address] = k
	}
	for i := range claimed {
		for j := range claimed[i].Snapshot.Targets {
			t := &claimed[i].Snapshot.Targets[j]
			k := byAddress[rollout.CanonicalAddress(t.Address)]
			t.Fence = max(t.Fence, k.Fence)
			t.InheritWork(k.knownWork())
		}
	}
	return nil
}

// RunningTargets returns what is known of the targets of the newest deployment of a service in an environment, in the order
// of its request; none when there was no deployment.
func (s *Store) RunningTargets(ctx context.Context, service, environment string) ([]catalog.RunningTarget, error) {
	const sql = `
		SELECT t.target_id, t.address, coalesce(t.version, ''), r.target_id IS NOT NULL, coalesce(r.version, ''),
			coalesce(r.health, 'unknown'), coalesce(` + rememberedAddress + `, '')
		FROM (SELECT id FROM deployments WHERE service = $1 AND environment = $2 ORDER BY created_at DESC, id DESC LIMIT 1) d
			JOIN deployment_targets t ON t.deployment_id = d.id
			LEFT JOIN remembered_targets r ON r.service = $1 AND r.environment = $2 AND r.target_id = t.target_id
			` + joinKnownAt + `
		ORDER BY t.position`
	running, err := pg.QueryAll(ctx, s.db, func(row pgx.CollectableRow) (catalog.RunningTarget, error) {
		var id string
		var k knownTarget
		err := row.Scan(append([]any{&id}, k.scanFields()...)...)
		version, health := k.versionAndHealth()
		return catalog.RunningTarget{Target: id, Version: version, Health: health}, err //nolint:wrapcheck // wrapped below
	}, sql, service, environment)
	return running, pg.Wrap("read what runs of "+service+" in "+environment, err)
}

// knownTarget is what is said of a target at an address, and what is remembered of its id, perhaps at another.
type knownTarget struct {
	address, version string
	seen             bool
	known            storage.TargetRecord
}

func (k *knownTarget) scanFields() []any {
	return []any{&k.address, &k.version, &k.seen, &k.known.Version, &k.known.Health, &k.known.Address}
}

// versionAndHealth returns the version that the target runs, as far as known, and its health: as recorded at its address, else as it was
// said.
func (k *knownTarget) versionAndHealth() (version string, health healthcheck.Health) {
	if k.seen && rollout.SameAddress(k.known.Address, k.address) {
		return k.known.Version, cmp.Or(k.known.Health, healthcheck.Unknown)
	}
	return k.version, healthcheck.Unknown
}
