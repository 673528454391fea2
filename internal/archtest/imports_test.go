package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// row says which packages of ours a package may import, and why no more. A path that ends in "/..." stands for all
// packages below it.
type row struct {
	pkg string
	may []string
	why string
}

// table is the import table of the design. A new package gets a row here first.
func table() []row {
	lifecycle := "internal/strategy/lifecycle"
	adapter := "an adapter knows the words and its own outside, never another adapter or the engine: each can be read, tested and replaced alone"
	part := "a part of the store knows its own tables, and no other part"
	leaf := "it is used by several packages and does not depend on Rollcall"
	return []row{
		{"internal/rollout", []string{"internal/duration", "internal/healthcheck", "internal/request", "internal/routing", "internal/secret"}, "the core imports only what is below it, so that every package can use its types"},
		{"internal/request", []string{"internal/jsonpointer", "internal/problem", "internal/secret"}, "how a call is rendered follows from its text and its values alone, whatever it is for"},
		{"internal/jsonpointer", nil, leaf},
		{"internal/preset", []string{"internal/problem", "internal/request", "internal/secret"}, "what a receiver is called with is known apart from deployments"},
		{"internal/problem", nil, "errors are returned by every package, so it imports none"},
		{"internal/secret", nil, "secrets are carried by types of every package, so it imports none"},
		{"internal/authz", []string{"internal/problem", "internal/rollout"}, "a decision about access follows from the principal and the object alone"},
		{"internal/audit", []string{"internal/rollout"}, "whether a log was changed follows from its events alone"},
		{"internal/dora", nil, "figures that are stored and shown"},
		{"internal/catalog", []string{"internal/healthcheck", "internal/rollout", "internal/secret"}, "what is registered and counted, above the core"},
		{"internal/notification", []string{"internal/rollout", "internal/secret"}, "what a deployment has to report follows from the deployment alone"},
		{"internal/duration", nil, "durations are part of every configuration, so it imports none"},
		{"internal/healthcheck", []string{"internal/duration", "internal/secret"}, "what a check is and found is known below deployments"},
		{"internal/routing", []string{"internal/duration"}, "what a router is and does is known below deployments"},
		{"internal/gitsource", []string{"internal/duration", "internal/secret", "internal/storage"}, "what a source asks for is stored and shown without Git at hand"},
		{lifecycle, []string{"internal/duration", "internal/healthcheck", "internal/rollout", "internal/routing", "internal/storage"}, "transitions are pure functions of what they are given, whatever decides on them"},
		{"internal/storage", []string{"internal/healthcheck", "internal/problem", "internal/rollout", "internal/routing"}, "stores and their users share these types, and nothing else"},
		{"internal/strategy", []string{"internal/duration", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/storage", lifecycle}, "strategies are values: they decide nothing themselves"},
		{"internal/strategy/planner", []string{"internal/duration", "internal/healthcheck", "internal/rollout", "internal/routing", "internal/strategy", lifecycle}, "the planner is a pure function of what it is given"},
		{"internal/strategy/command", []string{"internal/duration", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/storage", "internal/strategy", lifecycle, "internal/strategy/planner"}, "commands write intents, which the planner then follows"},
		{"internal/engine", []string{"internal/clock", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/routing", "internal/storage", lifecycle, "internal/strategy/planner"}, "the engine declares the interfaces that it needs; cmd wires what fulfils them"},
		{"internal/resting", []string{"internal/problem", "internal/rollout", "internal/routing", "internal/storage", lifecycle}, "it declares the interfaces that it needs, as the engine does"},
		{"internal/store/pg", []string{"internal/clock", "internal/problem", "internal/rollout", "internal/storage"}, "the kit of the store's packages knows PostgreSQL, and none of what they store"},
		{"internal/store/sealing", []string{"internal/problem", "internal/keyring"}, "it seals what the store's packages give it, and knows none of them"},
		{"internal/store/tokenstore", []string{"internal/authz", "internal/problem", "internal/storage", "internal/store/pg"}, part},
		{"internal/store/gitopsstore", []string{"internal/gitsource", "internal/problem", "internal/secret", "internal/storage", "internal/store/pg", "internal/store/sealing"}, part},
		{"internal/store/notifystore", []string{"internal/notification", "internal/problem", "internal/rollout", "internal/secret", "internal/storage", "internal/store/pg", "internal/store/sealing"}, part},
		{"internal/store/filter", []string{"internal/authz", "internal/storage", "internal/store/pg"}, "conditions that the store and its figures share"},
		{"internal/store/statstore", []string{"internal/authz", "internal/catalog", "internal/dora", "internal/problem", "internal/storage", "internal/store/filter", "internal/store/pg"}, part},
		{"internal/store", []string{"internal/authz", "internal/catalog", "internal/clock", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/routing", "internal/keyring", "internal/secret", "internal/storage", "internal/store/filter", "internal/store/gitopsstore", "internal/store/notifystore", "internal/store/pg", "internal/store/sealing", "internal/store/statstore", "internal/store/tokenstore"}, adapter},
		{"internal/store/admin", []string{"internal/clock", "internal/problem", "internal/keyring", "internal/secret", "internal/store", "internal/store/pg", "internal/store/sealing", "migrations"}, "it administers the database of a store, and nothing imports it but programs and tests"},
		{"internal/egress", []string{"internal/rollout", "internal/secret"}, "it makes calls for other packages, and knows only what an answer is"},
		{"internal/health", []string{"internal/healthcheck", "internal/egress", "internal/jsonpointer", "internal/rollout"}, adapter},
		{"internal/target", []string{"internal/egress", "internal/request", "internal/rollout", "internal/secret"}, adapter},
		{"internal/traffic", []string{"internal/egress", "internal/rollout", "internal/routing"}, adapter},
		{"internal/gitops", []string{"internal/gitsource", "internal/problem", "internal/rollout", "internal/storage"}, "what a source does next follows from its files and its deployments alone"},
		{"internal/gitops/hook", []string{"internal/gitops", "internal/problem", "internal/secret"}, "whether a notification is signed, and what it is about, follows from it alone"},
		{"internal/gitops/manifest", []string{"internal/gitops", "internal/gitsource", "internal/problem"}, "what a file asks for follows from its text alone"},
		{"internal/gitops/mirror", []string{"internal/gitops", "internal/gitsource", "internal/secret"}, "it runs git, and knows nothing of deployments"},
		{"internal/gitops/syncer", []string{"internal/clock", "internal/gitops", "internal/gitops/hook", "internal/gitops/manifest", "internal/gitops/mirror", "internal/gitsource", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/storage"}, adapter},
		{"internal/gitops/gittest", []string{"internal/gitsource"}, "it gives tests repositories, and knows nothing of what reads them"},
		{"internal/notify", []string{"internal/clock", "internal/notification", "internal/egress", "internal/nullable", "internal/problem", "internal/rollout"}, adapter},
		{"internal/web", []string{"internal/api/httpkit", "internal/authz", "internal/catalog", "internal/dora", "internal/gitsource", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/storage"}, adapter},
		{"internal/metrics", []string{"internal/authz", "internal/catalog", "internal/gitsource", "internal/healthcheck", "internal/notification", "internal/rollout", "internal/storage"}, adapter},
		{"internal/feed", []string{"internal/authz", "internal/clock", "internal/problem", "internal/rollout", "internal/storage"}, "it reads through an interface of its own and encodes nothing itself: how many watch and what they see stay apart"},
		{"internal/auth", []string{"internal/authz", "internal/problem", "internal/secret"}, adapter},
		{"internal/api", []string{"", "internal/api/gen", "internal/api/httpkit", "internal/api/types", "internal/authz", "internal/catalog", "internal/clock", "internal/dora", "internal/duration", "internal/gitsource", "internal/healthcheck", "internal/feed", "internal/notification", "internal/nullable", "internal/preset", "internal/problem", "internal/request", "internal/rollout", "internal/routing", "internal/secret", "internal/storage", "internal/strategy", "internal/strategy/command"}, "the API validates with the planner's own rules and writes intents; it never calls a target"},
		{"internal/api/gen", []string{"internal/api/types"}, "generated from the contract"},
		{"internal/api/httpkit", []string{"internal/problem"}, "it knows HTTP, and nothing of deployments"},
		{"internal/api/types", []string{"internal/request", "internal/rollout", "internal/routing", "internal/secret"}, "generated from the contract"},
		{"internal/client", []string{"internal/api/types", "internal/clock"}, "it calls a server over HTTP with the contract's types, and links none of the server"},
		{"internal/clock", nil, leaf},
		{"internal/egress/guard", nil, leaf},
		{"internal/keyring", nil, leaf},
		{"internal/localpg", nil, leaf},
		{"internal/nullable", nil, leaf},
		{"internal/testtarget", []string{"internal/clock"}, leaf},
		{"migrations", nil, leaf},
		{"examples/receiver", nil, "an example stands on its own, so that it can be copied"},
		{"internal/docpage", nil, "it writes pages for the tests of others and knows none of them"},
		{"", nil, "the contract of the API, embedded"},
		{"internal/archtest", nil, "it reads the packages and uses none"},
		{"internal/e2e/...", []string{"internal/dbtest", "internal/e2e/chaos", "internal/localpg", "internal/testtarget"}, "it sees the service from outside, as its users do"},
		{"internal/mutation/...", []string{"internal/mutation"}, "it changes the source of the others and runs their tests"},
		{"scripts/stand-in/reaper", nil, "it takes the place of another program, beside the product"},
		{"internal/slowtest", nil, "it marks tests, and knows none"},
		{"internal/storetest", []string{"internal/audit", "internal/duration", "internal/healthcheck", "internal/problem", "internal/rollout", "internal/routing", "internal/secret", "internal/storage"}, "it tests whatever keeps deployments, and knows none by name"},
		{"internal/dbtest/...", []string{"internal/clock", "internal/dbtest", "internal/localpg", "internal/problem", "internal/rollout", "internal/keyring", "internal/storage", "internal/store", "internal/store/admin", "internal/storetest", "migrations"}, "it gives tests a database, and nothing else"},
	}
}

func TestImports_FollowTheTable(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		for _, broken := range badImports(f) {
			t.Error(broken)
		}
	}
}

func TestImports_NoProgramUsesTestCode(t *testing.T) {
	t.Parallel()
	helpers := []string{"internal/gitops/gittest", "internal/slowtest", "internal/storetest"}
	for _, f := range tree(t) {
		if strings.HasPrefix(f.pkg, "internal/dbtest") || strings.HasPrefix(f.pkg, "internal/e2e") || slices.Contains(helpers, f.pkg) {
			continue
		}
		for _, path := range f.imports() {
			if path == "testing" || strings.HasPrefix(path, module+"/internal/dbtest") || slices.Contains(helpers, strings.TrimPrefix(path, module+"/")) {
				t.Errorf("%s imports %s: helpers of tests stay out of the programs", f.name, path)
			}
		}
	}
}

func TestImports_RuleCatchesForbidden(t *testing.T) {
	t.Parallel()
	for _, forbidden := range []file{
		source(t, "internal/rollout", `import _ "rollcall/internal/strategy"`),
		source(t, "internal/store", `import "rollcall/internal/engine"`),
		source(t, "internal/strategy/lifecycle", `import "rollcall/internal/strategy"`),
		source(t, "internal/strategy", `import "rollcall/internal/strategy/planner"`),
		source(t, "internal/strategy/planner", `import "rollcall/internal/strategy/command"`),
		source(t, "internal/api", `import t "rollcall/internal/target"`),
		source(t, "internal/unheard", `import "rollcall/internal/rollout"`),
	} {
		if len(badImports(forbidden)) != 1 {
			t.Errorf("%s: %v was not caught", forbidden.pkg, forbidden.ours())
		}
	}
	if broken := badImports(source(t, "internal/store", `import "rollcall/internal/rollout"`)); broken != nil {
		t.Errorf("an allowed import was refused: %v", broken)
	}
}

// badImports lists the imports of a file that break the table. Programs under cmd may import everything.
func badImports(f file) []string {
	if strings.HasPrefix(f.pkg, "cmd/") {
		return nil
	}
	rows := table()
	i := slices.IndexFunc(rows, func(r row) bool { return r.covers(f.pkg) })
	if i < 0 {
		return []string{fmt.Sprintf("%s: package %s has no row in the import table: add one that says what it may import, and why", f.name, f.pkg)}
	}
	var broken []string
	for _, imported := range f.ours() {
		if !slices.Contains(rows[i].may, imported) {
			broken = append(broken, fmt.Sprintf("%s: %s must not import %s/%s: %s", f.name, f.pkg, module, imported, rows[i].why))
		}
	}
	return broken
}

func (r row) covers(pkg string) bool {
	if below, ok := strings.CutSuffix(r.pkg, "/..."); ok {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	return pkg == r.pkg
}
