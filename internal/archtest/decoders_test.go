package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decoding are the functions that make something of text or bytes, by package. Who calls one decodes.
func decoding() map[string][]string {
	return map[string][]string{
		"encoding/json":          {"Unmarshal", "NewDecoder"},
		"go.yaml.in/yaml/v3":     {"Unmarshal", "NewDecoder"},
		"net/url":                {"Parse", "ParseRequestURI", "ParseQuery", "QueryUnescape", "PathUnescape"},
		"strconv":                {"Atoi", "ParseInt", "ParseUint", "ParseFloat", "ParseBool", "Unquote"},
		"fmt":                    {"Sscan", "Sscanf", "Sscanln", "Fscan", "Fscanf"},
		"encoding/base64":        {"StdEncoding", "RawURLEncoding", "URLEncoding", "RawStdEncoding"},
		"encoding/hex":           {"DecodeString"},
		"net/netip":              {"ParseAddr", "ParseAddrPort", "ParsePrefix"},
		"net/http":               {"ParseTime"},
		"time":                   {"Parse", "ParseDuration"},
		"mime":                   {"ParseMediaType"},
		"crypto/tls":             {"X509KeyPair"},
		"bufio":                  {"NewScanner", "NewReader"},
		"github.com/google/uuid": {"Parse"},
	}
}

// Reasons why no fuzz target is asked for.
const (
	ownWords  = "it reads what this server wrote itself, sealed or not"
	operators = "it reads what the operator or the operator's own programs say, who can do worse"
	strictly  = "what it reads has been read strictly before, where a fuzz target is"
	judged    = "the guard's own check, which has one, comes first"
	bounded   = "one number, read by the standard library and bounded at once"
	encodes   = "it only writes this encoding"
)

// decoder says for one file of the product which fuzz target of its package feeds it, or why none does.
type decoder struct{ fuzz, why string }

// decoders has a row for each file that decodes. A new one gets a fuzz target first.
func decoders() map[string]decoder {
	return map[string]decoder{
		"internal/api/contract.go":             {fuzz: "FuzzRequestBody"},
		"internal/api/definition_secrets.go":   {why: ownWords},
		"internal/api/deployer.go":             {why: strictly},
		"internal/api/events.go":               {fuzz: "FuzzLastEvent"},
		"internal/api/findings.go":             {fuzz: "FuzzRequestBody"},
		"internal/api/notification_request.go": {fuzz: "FuzzNotification"},
		"internal/api/request.go":              {fuzz: "FuzzRequestBody"},
		"internal/api/request_traffic.go":      {fuzz: "FuzzRequestBody"},
		"internal/api/request_targets.go":      {fuzz: "FuzzURL"},
		"internal/api/source_request.go":       {fuzz: "FuzzSource"},
		"internal/jsonpointer/jsonpointer.go":  {fuzz: "FuzzPointer"},
		"internal/target/judge.go":             {why: judged},
		"internal/target/send.go":              {why: encodes},
		"internal/request/json.go":             {fuzz: "FuzzRender"},
		"internal/request/status.go":           {fuzz: "FuzzStatusIn"},
		"internal/api/httpkit/body.go":         {fuzz: "FuzzQuery"},
		"internal/api/httpkit/json.go":         {fuzz: "FuzzCheckJSON"},
		"internal/api/httpkit/stream.go":       {fuzz: "FuzzAccept"},
		"internal/auth/file.go":                {why: operators},
		"internal/auth/oidc.go":                {fuzz: "FuzzCredential"},
		"internal/auth/open.go":                {fuzz: "FuzzLoopback"},
		"internal/auth/rules.go":               {fuzz: "FuzzClaims"},
		"internal/auth/token.go":               {fuzz: "FuzzCredential"},
		"internal/gitops/hook/event.go":        {fuzz: "FuzzNotification"},
		"internal/gitops/hook/proof.go":        {fuzz: "FuzzNotification"},
		"internal/gitops/mirror/mirror.go":     {why: operators},
		"internal/gitops/request.go":           {why: strictly},
		"internal/gitops/mirror/remote.go":     {fuzz: "FuzzRemote"},
		"internal/gitops/mirror/tip.go":        {fuzz: "FuzzRedirect"},
		"internal/gitops/mirror/tree.go":       {fuzz: "FuzzTree"},
		"internal/gitops/manifest/yaml.go":     {fuzz: "FuzzYAML"},
		"internal/health/address.go":           {fuzz: "FuzzEndpoint"},
		"internal/health/fetch.go":             {fuzz: "FuzzStatuses"},
		"internal/health/http.go":              {fuzz: "FuzzAnswer"},
		"internal/health/prometheus.go":        {fuzz: "FuzzPrometheusText"},
		"internal/health/query.go":             {fuzz: "FuzzQuery"},
		"internal/health/status_text.go":       {fuzz: "FuzzWords"},
		"internal/egress/guard/guard.go":       {fuzz: "FuzzCheck"},
		"internal/egress/guard/resolve.go":     {why: judged},
		"internal/notify/github.go":            {fuzz: "FuzzOurs"},
		"internal/notify/redact.go":            {fuzz: "FuzzHide"},
		"internal/egress/answer.go":            {fuzz: "FuzzRetryAfter"},
		"internal/egress/exchange.go":          {fuzz: "FuzzExchange"},
		"internal/egress/sign.go":              {why: encodes},
		"internal/egress/trust.go":             {fuzz: "FuzzTrust"},
		"internal/rollout/commit_time.go":      {fuzz: "FuzzCommittedAt"},
		"internal/duration/duration.go":        {fuzz: "FuzzDuration"},
		"internal/duration/days.go":            {fuzz: "FuzzParseDays"},
		"internal/secret/secret.go":            {fuzz: "FuzzSigningKeys"},
		"internal/rollout/spec.go":             {fuzz: "FuzzWords"},
		"internal/keyring/key.go":              {fuzz: "FuzzParseKeys"},
		"internal/store/pg/cursor.go":          {fuzz: "FuzzCursor"},
		"internal/store/pg/id.go":              {fuzz: "FuzzCursor"},
		"internal/store/reseal.go":             {why: ownWords},
		"internal/store/sealing/sealing.go":    {why: ownWords},
		"internal/strategy/canary.go":          {fuzz: "FuzzStrategy"},
		"internal/strategy/params.go":          {fuzz: "FuzzStrategy"},
		"internal/traffic/haproxy_view.go":     {fuzz: "FuzzView"},
		"internal/traffic/webhook.go":          {fuzz: "FuzzReport"},
		"internal/web/api_call.go":             {why: ownWords},
		"internal/web/deploy.go":               {fuzz: "FuzzParameter"},
		"internal/web/dora.go":                 {why: bounded},
		"internal/web/durations.go":            {why: bounded},
		"internal/web/grid.go":                 {why: bounded},
		"internal/web/history.go":              {fuzz: "FuzzDay"},
		"internal/web/session.go":              {fuzz: "FuzzNext"},
		"internal/web/funcs.go":                {why: ownWords},
	}
}

// outside are the packages that no input from outside reaches, or that serve tests and the demo.
func outside(pkg string) bool {
	return !strings.HasPrefix(pkg, "internal/") || slices.ContainsFunc([]string{
		"internal/archtest", "internal/mutation", "internal/dbtest", "internal/e2e", "internal/testtarget", "internal/slowtest", "internal/storetest",
		"internal/client",                        // the command line, which believes its server
		"internal/localpg",                       // it reads what PostgreSQL and it itself have written
		"internal/api/gen", "internal/api/types", // generated; each request is read strictly before
	}, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
}

func decodes(f file) bool {
	for path, names := range decoding() {
		used := f.uses(path)
		if slices.ContainsFunc(names, func(name string) bool { return used[name] != "" }) {
			return true
		}
	}
	return false
}

func TestDecoders_EachHasAFuzzTarget(t *testing.T) {
	t.Parallel()
	rows, files := decoders(), tree(t)
	for _, f := range files {
		name := f.pkg + "/" + filepath.Base(f.name)
		if outside(f.pkg) || !decodes(f) {
			continue
		}
		row, found := rows[name]
		delete(rows, name)
		switch {
		case !found:
			t.Errorf("%s decodes: write a fuzz target, and a row that names it", name)
		case (row.fuzz == "") == (row.why == ""):
			t.Errorf("%s: a row has a fuzz target or a reason", name)
		case row.fuzz != "" && !feeds(t, files, f, row.fuzz):
			t.Errorf("%s: there is no %s in its package, or it calls nothing of the file", name, row.fuzz)
		}
	}
	for name := range maps.Keys(rows) {
		t.Errorf("%s has a row, and does not decode", name)
	}
}

// feeds reports whether the package has the fuzz target, and it or a helper that it calls uses something that leads to the
// file.
func feeds(t *testing.T, files []file, f file, target string) bool {
	t.Helper()
	tests := testsOf(t, f)
	called := map[string]bool{target: true}
	for grown := true; grown; {
		grown = false
		for name, d := range tests {
			if !called[name] {
				continue
			}
			for helper := range tests {
				if !called[helper] && uses(d, map[string]bool{helper: true}) {
					called[helper], grown = true, true
				}
			}
		}
	}
	reached := reaching(files, f)
	for name, d := range tests {
		if called[name] && uses(d, reached) {
			return tests[target] != nil
		}
	}
	return false
}

// testsOf are the functions of the tests beside a file, by name.
func testsOf(t *testing.T, f file) map[string]ast.Decl {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(f.name), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]ast.Decl{}
	for _, path := range paths {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if name := declares(d); name != "" {
				tests[name] = d
			}
		}
	}
	return tests
}

// reaching are the names of the package's functions and types that lead to the file: its own, and those that use one of
// them.
func reaching(files []file, f file) map[string]bool {
	reached := map[string]bool{}
	for _, d := range f.ast.Decls {
		reached[declares(d)] = true
	}
	for grown := true; grown; {
		grown = false
		for _, other := range files {
			if other.pkg != f.pkg {
				continue
			}
			for _, d := range other.ast.Decls {
				if name := declares(d); !reached[name] && uses(d, reached) {
					reached[name], grown = true, true
				}
			}
		}
	}
	delete(reached, "")
	return reached
}

// declares is the name of a function, or of the first type of a declaration; empty for others.
func declares(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Name.Name
	case *ast.GenDecl:
		if len(d.Specs) > 0 {
			if spec, ok := d.Specs[0].(*ast.TypeSpec); ok {
				return spec.Name.Name
			}
		}
	}
	return ""
}

func uses(d ast.Decl, names map[string]bool) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok && names[name.Name] && name.Name != declares(d) {
			found = true
		}
		return !found
	})
	return found
}
