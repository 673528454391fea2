package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logKeys are the names of log attributes, one for each thing: a line about a deployment is found by one name, whatever logs it.
func logKeys() map[string]string {
	return map[string]string{
		"account":             "operating system account of the private PostgreSQL",
		"address":             "listening address",
		"admin_tokens_issued": "number of admin tokens that were ever issued",
		"after_event":         "id of the last event before a reset",
		"attempts":            "attempts of a delivery so far",
		"authentication":      "whether requests are authenticated",
		"bytes":               "size of a response",
		"caller":              "principal of a request",
		"delivery":            "id of a delivery",
		"deployment":          "id of a deployment",
		"deployments":         "number of deployments",
		"detail":              "result of a delivery attempt",
		"dev":                 "whether --dev is set",
		"duration_ms":         "duration of a request",
		"ended_before":        "time",
		"environment":         "environment of a deployment",
		"epoch":               "epoch of a deployment's owner",
		"error":               "error, or the value of a panic",
		"failures":            "failures in a row",
		"folder":              "folder of the private PostgreSQL",
		"from":                "state, version or commit before a change",
		"message":             "message of an event",
		"method":              "HTTP method",
		"notification":        "name of a notification",
		"page":                "name of a dashboard page",
		"path":                "path of a request",
		"pid":                 "process id of the private PostgreSQL",
		"previous_replica":    "id of the replica that owned a deployment before",
		"private_postgres":    "whether the private PostgreSQL is used",
		"privileges":          "privileges of the database role",
		"reason":              "reason of a deployment's state, or of a warning",
		"replica":             "id of the replica that logs",
		"request_id":          "id of a request",
		"retry_in_ms":         "time until the next try",
		"role":                "database role",
		"route":               "route pattern of a request",
		"service":             "service of a deployment",
		"source":              "name of a Git source",
		"stack":               "stack trace of a panic",
		"state":               "state of a deployment",
		"status":              "HTTP status of a response",
		"target":              "id of a target",
		"to":                  "state, version or commit after a change",
		"token":               "id of a token",
		"type":                "type of an event",
		"uptime_ms":           "how long a process has run",
		"wave":                "number of a wave",
	}
}

func TestLog_AttributesHaveOneName(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, f := range tree(t) {
		if !logsAsServer(f.pkg) {
			continue
		}
		for _, key := range logKeysIn(f) {
			used[key.name] = true
			if logKeys()[key.name] == "" {
				t.Errorf("%s: log attribute %q: use a name of logKeys, or add one for a thing that has none", f.at(key.at), key.name)
			}
		}
	}
	for name := range logKeys() {
		if !used[name] {
			t.Errorf("nothing logs %q: take it out of logKeys", name)
		}
	}
}

func TestLog_AttributesAreFound(t *testing.T) {
	t.Parallel()
	f := source(t, "internal/x", `import "log/slog"
func f() {
	log.InfoContext(ctx, "message", "one", 1, "two", 2)
	s.loop.Log.Log(ctx, level, "message", "three", 3)
	log.With("four", 4).Warn("message", slog.String("five", "5"))
	slog.Default().LogAttrs(ctx, level, "message", slog.Int("six", 6))
	attrs := []any{"no key", slog.Any("seven", 7)}
	math.Log(8)
	client.Error(ctx, "not a log", "no key")
}`)
	var names []string
	for _, key := range logKeysIn(f) {
		names = append(names, key.name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "five four one seven six three two" {
		t.Error(got)
	}
}

// logsAsServer reports whether a package is part of the server: test tools log for the developer alone.
func logsAsServer(pkg string) bool {
	return !slices.ContainsFunc([]string{"internal/e2e", "internal/dbtest", "internal/testtarget", "internal/mutation"}, func(p string) bool {
		return strings.HasPrefix(pkg, p)
	})
}

type logKey struct {
	name string
	at   ast.Node
}

// logKeysIn lists the names of the attributes that a file logs.
func logKeysIn(f file) (keys []logKey) {
	add := func(e ast.Expr) {
		if text, ok := e.(*ast.BasicLit); ok && text.Kind == token.STRING {
			if name, err := strconv.Unquote(text.Value); err == nil {
				keys = append(keys, logKey{name, e})
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if on, ok := method.X.(*ast.Ident); ok && on.Name == "slog" && slices.Contains(attributeFuncs(), method.Sel.Name) && len(call.Args) > 0 {
			add(call.Args[0])
			return true
		}
		first, logs := firstAttribute()[method.Sel.Name]
		if !logs || !isLogger(method.X) {
			return true
		}
		for i := first; i < len(call.Args); i += 2 {
			add(call.Args[i])
		}
		return true
	})
	return keys
}

// attributeFuncs are the functions of slog that make an attribute.
func attributeFuncs() []string {
	return []string{"String", "Int", "Int64", "Uint64", "Float64", "Bool", "Time", "Duration", "Any", "Group"}
}

// firstAttribute is the index of the first attribute in the arguments of a logger's methods.
func firstAttribute() map[string]int {
	return map[string]int{
		"Debug": 1, "Info": 1, "Warn": 1, "Error": 1,
		"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
		"Log": 3, "With": 0,
	}
}

// isLogger reports whether an expression is a logger by its name: log, s.log, l.Log, slog.Default(), or what With returns.
func isLogger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "log" || e.Name == "slog"
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "log")
	case *ast.CallExpr:
		method, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (method.Sel.Name == "With" && isLogger(method.X) || method.Sel.Name == "Default" && isLogger(method.X))
	default:
		return false
	}
}
