package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/api"
)

// refusedBody is a body and what is to be said about it.
type refusedBody struct {
	name    string
	body    string
	status  int
	pointer string
}

// with is a good request with one field replaced.
func with(field, value string) string {
	fields := map[string]string{
		"service": `"checkout"`, "version": `"v2"`, "targets": `[{"id":"web-1","address":"http://10.0.0.1:8080"}]`,
	}
	fields[field] = value
	parts := make([]string, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, fmt.Sprintf("%q:%s", name, fields[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// target is a good request whose second target has these fields.
func target(fields string) string {
	return with("targets", `[{"id":"a","address":"http://10.0.0.1"},{`+fields+`}]`)
}

// check is a good request whose second check has these fields.
func check(fields string) string { return with("health_checks", `[{"type":"http"},{`+fields+`}]`) }

func refusedBodies() []refusedBody {
	return slices.Concat(malformedBodies(), invalidBodies(), invalidTargets(), invalidChecks())
}

func malformedBodies() []refusedBody {
	return []refusedBody{
		{"empty", "", 400, noPointer},
		{"blank", " \n", 400, noPointer},
		{"not JSON", "{", 400, noPointer},
		{"trailing bytes", with("force", "true") + "x", 400, noPointer},
		{"two values", with("force", "true") + "{}", 400, noPointer},
		{"byte order mark", "\ufeff" + with("force", "true"), 400, noPointer},
		{"duplicate key", `{"service":"a","service":"b"}`, 400, noPointer},
		{"duplicate key by escape", `{"service":"a","s\u0065rvice":"b"}`, 400, noPointer},
		{"duplicate key deep down", target(`"id":"b","address":"http://b","metadata":{"x":{"y":1,"y":2}}`), 400, noPointer},
		{"not UTF-8", with("version", "\"\xff\""), 400, noPointer},
		{"high surrogate alone", with("version", `"\ud800"`), 400, noPointer},
		{"low surrogate alone", with("version", `"\udc00"`), 400, noPointer},
		{"high surrogate twice", with("version", `"\ud800\ud800"`), 400, noPointer},
		{"too deep", with("strategy", strings.Repeat(`[`, 40)+strings.Repeat(`]`, 40)), 400, noPointer},
		{"far too deep", strings.Repeat(`[`, 100_000), 400, noPointer},
	}
}

func invalidBodies() []refusedBody {
	many := func(n int) string {
		labels := make(map[string]string, n)
		for i := range n {
			labels[fmt.Sprint("k", i)] = "v"
		}
		encoded, _ := json.Marshal(labels)
		return string(encoded)
	}
	return []refusedBody{
		{"null", "null", 422, ""},
		{"a list", "[]", 422, ""},
		{"a string", `"x"`, 422, ""},
		{"no service", `{"version":"v"}`, 422, "/service"},
		{"no version", `{"service":"a"}`, 422, "/version"},
		{"unknown field", with("servcie", `"x"`), 422, "/servcie"},
		{"unknown field with a slash", with("a/b~c", `1`), 422, "/a~1b~0c"},
		{"known field in another case", with("Version", `"x"`), 422, "/Version"},
		{"service not a name", with("service", `"Check Out"`), 422, "/service"},
		{"service too long", with("service", `"`+strings.Repeat("a", 64)+`"`), 422, "/service"},
		{"service a number", with("service", `7`), 422, "/service"},
		{"service null", with("service", `null`), 422, "/service"},
		{"environment not a name", with("environment", `""`), 422, "/environment"},
		{"version empty", with("version", `""`), 422, "/version"},
		{"version too long", with("version", `"`+strings.Repeat("v", 201)+`"`), 422, "/version"},
		{"version with a trailing blank", with("version", `"v2 "`), 422, "/version"},
		{"version with a leading blank", with("version", `"\u00a0v2"`), 422, "/version"},
		{"version in quotes", with("version", `"\"v2\""`), 422, "/version"},
		{"version with an apostrophe", with("version", `"v2'"`), 422, "/version"},
		{"a target's version with a blank", with("targets", `[{"id":"a","address":"http://10.0.0.1","version":" v1"}]`), 422, "/targets/0/version"},
		{"version with NUL", with("version", `"v\u0000"`), 422, "/version"},
		{"version with a line break", with("version", `"v\n1"`), 422, "/version"},
		{"version that reads backwards", with("version", `"v\u202e1"`), 422, "/version"},
		{"version with an isolate", with("version", "\"v\u2066\""), 422, "/version"},
		{"label that reads backwards", with("labels", `{"k":"a\u200fb"}`), 422, "/labels/k"},
		{"label key that reads backwards", with("labels", "{\"k\u061c\":\"a\"}"), 422, "/labels/k\u061c"},
		{"label with Unicode's own line end", with("labels", `{"k":"a\u2028b"}`), 422, "/labels/k"},
		{"metadata that reads backwards", target(`"id":"b","address":"http://b","metadata":{"x":["\u202d"]}`), 422, "/targets/1/metadata/x/0"},
		{"name that reads backwards", target(`"id":"b","address":"http://b","name":"\u2069"`), 422, "/targets/1/name"},
		{"NUL in a key", with("labels", `{"a\u0000":"b"}`), 422, "/labels/a\x00"},
		{"strategy a string", with("strategy", `"rolling"`), 422, "/strategy"},
		{"strategy without type", with("strategy", `{"batch_size":2}`), 422, "/strategy/type"},
		{"strategy type in another case", with("strategy", `{"Type":"rolling"}`), 422, "/strategy/type"},
		{"number out of range", with("strategy", `{"type":"rolling","batch_size":1e100000}`), 422, "/strategy/batch_size"},
		{"number too small", with("strategy", `{"type":"rolling","batch_size":1e-100000}`), 422, "/strategy/batch_size"},
		{"force a string", with("force", `"true"`), 422, "/force"},
		{"on_conflict unknown", with("on_conflict", `"wait"`), 422, "/on_conflict"},
		{"healthy_deadline not a duration", with("healthy_deadline", `"soon"`), 422, "/healthy_deadline"},
		{"healthy_deadline a number", with("healthy_deadline", `60`), 422, "/healthy_deadline"},
		{"healthy_deadline negative", with("healthy_deadline", `"-1s"`), 422, "/healthy_deadline"},
		{"healthy_deadline too short", with("healthy_deadline", `"99ms"`), 422, "/healthy_deadline"},
		{"healthy_deadline too long", with("healthy_deadline", `"24h1s"`), 422, "/healthy_deadline"},
		{"healthy_deadline overflows", with("healthy_deadline", `"9999999999h"`), 422, "/healthy_deadline"},
		{"too many labels", with("labels", many(51)), 422, "/labels"},
		{"label without key", with("labels", `{"":"v"}`), 422, "/labels/"},
		{"label key too long", with("labels", `{"`+strings.Repeat("k", 64)+`":"v"}`), 422, "/labels/" + strings.Repeat("k", 64)},
		{"label value a number", with("labels", `{"k":1}`), 422, "/labels/k"},
		{"label value too long", with("labels", `{"k":"`+strings.Repeat("v", 257)+`"}`), 422, "/labels/k"},
		{"label value with escape", with("labels", `{"k":"\u001b[1m"}`), 422, "/labels/k"},
		{"too many fields", with("labels", many(1001)), 422, "/labels"},
		{"field name too long", with(strings.Repeat("f", 257), "1"), 422, ""},
		{"deploy timeout too short", with("deploy", `{"timeout":"1ms"}`), 422, "/deploy/timeout"},
		{"deploy timeout too long", with("deploy", `{"timeout":"61m"}`), 422, "/deploy/timeout"},
		{"deploy retries negative", with("deploy", `{"retries":-1}`), 422, "/deploy/retries"},
		{"deploy retries too many", with("deploy", `{"retries":21}`), 422, "/deploy/retries"},
		{"deploy retries a fraction", with("deploy", `{"retries":1.5}`), 422, "/deploy/retries"},
		{"deploy retries written as a fraction", with("deploy", `{"retries":1.0}`), 422, "/deploy/retries"},
		{"deploy backoff negative", with("deploy", `{"backoff":"-1s"}`), 422, "/deploy/backoff"},
		{"deploy backoff too long", with("deploy", `{"backoff":"11m"}`), 422, "/deploy/backoff"},
		{"deploy path relative", with("deploy", `{"path":"deploy"}`), 422, "/deploy/path"},
		{"deploy path with a fragment", with("deploy", `{"path":"/a#b"}`), 422, "/deploy/path"},
		{"deploy secret without prefix", with("deploy", `{"secret":"MDEyMzQ1Njc4OWFiY2RlZg=="}`), 422, "/deploy/secret"},
		{"deploy secret not base64", with("deploy", `{"secret":"whsec_%%%%"}`), 422, "/deploy/secret"},
		{"client_key without client_cert", with("tls", `{"client_key":"x"}`), 422, "/tls/client_cert"},
		{"client_cert without client_key", with("tls", `{"client_cert":"x"}`), 422, "/tls/client_key"},
		{"tls that checks nothing", with("tls", `{"insecure_skip_verify":true}`), 422, "/tls/insecure_skip_verify"},
		{"deploy secret too short", with("deploy", `{"secret":"whsec_c2hvcnQ="}`), 422, "/deploy/secret"},
		{"deploy unknown field", with("deploy", `{"url":"http://x"}`), 422, "/deploy/url"},
	}
}

func invalidTargets() []refusedBody {
	var list strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&list, `,{"id":"t%d","address":"http://t%d"}`, i, i)
	}
	return []refusedBody{
		{"empty targets", with("targets", `[]`), 422, "/targets"},
		{"targets not a list", with("targets", `{}`), 422, "/targets"},
		{"too many targets", with("targets", "["+list.String()[1:]+"]"), 422, "/targets"},
		{"target without id", target(`"address":"http://b"`), 422, "/targets/1/id"},
		{"target without address", target(`"id":"b"`), 422, "/targets/1/address"},
		{"target with empty id", target(`"id":"","address":"http://b"`), 422, "/targets/1/id"},
		{"target with a tab in its id", target(`"id":"b\t","address":"http://b"`), 422, "/targets/1/id"},
		{"target unknown field", target(`"id":"b","address":"http://b","zone":"x"`), 422, "/targets/1/zone"},
		{"same id twice", target(`"id":"a","address":"http://b"`), 422, "/targets/1/id"},
		{"same address twice", target(`"id":"b","address":"http://10.0.0.1"`), 422, "/targets/1/address"},
		{"same address in other words", target(`"id":"b","address":"HTTP://10.0.0.1:80/"`), 422, "/targets/1/address"},
		{"address relative", target(`"id":"b","address":"/b"`), 422, "/targets/1/address"},
		{"address without scheme", target(`"id":"b","address":"b:80"`), 422, "/targets/1/address"},
		{"address of another scheme", target(`"id":"b","address":"ftp://b"`), 422, "/targets/1/address"},
		{"address without host", target(`"id":"b","address":"http://:80"`), 422, "/targets/1/address"},
		{"address with a password", target(`"id":"b","address":"http://u:p@b"`), 422, "/targets/1/address"},
		{"address with a fragment", target(`"id":"b","address":"http://b#f"`), 422, "/targets/1/address"},
		{"address with a query", target(`"id":"b","address":"http://b?q"`), 422, "/targets/1/address"},
		{"address with port 0", target(`"id":"b","address":"http://b:0"`), 422, "/targets/1/address"},
		{"address with port 65536", target(`"id":"b","address":"http://b:65536"`), 422, "/targets/1/address"},
		{"address with empty port", target(`"id":"b","address":"http://b:"`), 422, "/targets/1/address"},
		{"address with a space", target(`"id":"b","address":"http://b/ c"`), 422, "/targets/1/address"},
		{"address too long", target(`"id":"b","address":"http://b/` + strings.Repeat("x", 2048) + `"`), 422, "/targets/1/address"},
		{"address not allowed", target(`"id":"b","address":"http://forbidden"`), 422, "/targets/1/address"},
		{"deploy_url not allowed", target(`"id":"b","address":"http://b","deploy_url":"http://forbidden"`), 422, "/targets/1/deploy_url"},
		{"deploy_url not a URL", target(`"id":"b","address":"http://b","deploy_url":"::"`), 422, "/targets/1/deploy_url"},
		{"slot with a space", target(`"id":"b","address":"http://b","slot":"a b"`), 422, "/targets/1/slot"},
		{"metadata a list", target(`"id":"b","address":"http://b","metadata":[]`), 422, "/targets/1/metadata"},
		{"metadata too large", target(`"id":"b","address":"http://b","metadata":{"x":"` + strings.Repeat("x", 16<<10) + `"}`), 422, "/targets/1/metadata"},
	}
}

func invalidChecks() []refusedBody {
	list := `{"type":"none"}` + strings.Repeat(`,{"type":"none"}`, 20)
	return []refusedBody{
		{"no checks", with("health_checks", `[]`), 422, "/health_checks"},
		{"too many checks", with("health_checks", "["+list+"]"), 422, "/health_checks"},
		{"check without type", check(`"path":"/"`), 422, "/health_checks/1/type"},
		{"check of unknown type", check(`"type":"ping"`), 422, "/health_checks/1/type"},
		{"check name twice", with("health_checks", `[{"type":"none","name":"a"},{"type":"http","name":"a"}]`), 422, "/health_checks/1/name"},
		{"check unknown field", check(`"type":"http","port_name":"x"`), 422, "/health_checks/1/port_name"},
		{"interval too short", check(`"type":"http","interval":"9ms"`), 422, "/health_checks/1/interval"},
		{"interval absurd", check(`"type":"http","interval":"721h"`), 422, "/health_checks/1/interval"},
		{"timeout zero", check(`"type":"http","timeout":"0s"`), 422, "/health_checks/1/timeout"},
		{"initial_delay negative", check(`"type":"http","initial_delay":"-1s"`), 422, "/health_checks/1/initial_delay"},
		{"healthy_threshold zero", check(`"type":"http","healthy_threshold":0`), 422, "/health_checks/1/healthy_threshold"},
		{"unhealthy_threshold zero", check(`"type":"http","unhealthy_threshold":0`), 422, "/health_checks/1/unhealthy_threshold"},
		{"http with port", check(`"type":"http","port":80`), 422, "/health_checks/1/port"},
		{"http with path and url", check(`"type":"http","path":"/","url":"http://x"`), 422, "/health_checks/1/path"},
		{"http path relative", check(`"type":"http","path":"health"`), 422, "/health_checks/1/path"},
		{"http url not allowed", check(`"type":"http","url":"http://forbidden/x"`), 422, "/health_checks/1/url"},
		{"http method unknown", check(`"type":"http","method":"DELETE"`), 422, "/health_checks/1/method"},
		{"http header broken", check(`"type":"http","headers":{"a b":"c"}`), 422, "/health_checks/1/headers/a b"},
		{"http header value broken", check(`"type":"http","headers":{"a":"c\r\nd: e"}`), 422, "/health_checks/1/headers/a"},
		{"status not a code", check(`"type":"http","expected_status":["2xx"]`), 422, "/health_checks/1/expected_status/0"},
		{"status range backwards", check(`"type":"http","expected_status":["200","299-200"]`), 422, "/health_checks/1/expected_status/1"},
		{"version_pointer relative", check(`"type":"http","version_pointer":"version"`), 422, "/health_checks/1/version_pointer"},
		{"version_pointer empty", check(`"type":"http","version_pointer":""`), 422, "/health_checks/1/version_pointer"},
		{"version_pointer with a bad escape", check(`"type":"http","version_pointer":"/a~2"`), 422, "/health_checks/1/version_pointer"},
		{"tcp with path", check(`"type":"tcp","path":"/"`), 422, "/health_checks/1/path"},
		{"tcp port out of range", check(`"type":"tcp","port":65536`), 422, "/health_checks/1/port"},
		{"none with url", check(`"type":"none","url":"http://x"`), 422, "/health_checks/1/url"},
		{"grpc with headers", check(`"type":"grpc","headers":{}`), 422, "/health_checks/1/headers"},
		{"metric without a number", check(`"type":"metric","fail_above":1`), 422, "/health_checks/1"},
		{"metric with two numbers", check(`"type":"metric","pointer":"/a","metric":"a","fail_above":1`), 422, "/health_checks/1/metric"},
		{"metric with a query and a name", check(`"type":"metric","metric":"a","query":"a","fail_above":1`), 422, "/health_checks/1/query"},
		{"metric with a matcher", check(`"type":"metric","metric":"x{code=~\"5..\"}","fail_above":1`), 422, "/health_checks/1/metric"},
		{"metric that is a function", check(`"type":"metric","metric":"rate(x[1m])","fail_above":1`), 422, "/health_checks/1/metric"},
		{"metric without a name", check(`"type":"metric","metric":"{l=\"v\"}","fail_above":1`), 422, "/health_checks/1/metric"},
		{"http with a query", check(`"type":"http","query":"up"`), 422, "/health_checks/1/query"},
		{"metric with a preset", check(`"type":"metric","metric":"a","fail_above":1,"preset":"spring"`), 422, "/health_checks/1/preset"},
		{"preset unknown", check(`"type":"http","preset":"rails"`), 422, "/health_checks/1/preset"},
		{"preset without a usual place", check(`"type":"http","preset":"consul"`), 422, "/health_checks/1/path"},
		{"status_pointer without pass_values", check(`"type":"http","status_pointer":"/status"`), 422, "/health_checks/1/pass_values"},
		{"word in two lists", check(`"type":"http","pass_values":["up"],"fail_values":["down","UP"]`), 422, "/health_checks/1/fail_values/1"},
		{"warn_status backwards", check(`"type":"http","warn_status":["429-400"]`), 422, "/health_checks/1/warn_status/0"},
		{"metric without bounds", check(`"type":"metric","metric":"a"`), 422, "/health_checks/1"},
		{"metric warns after it fails", check(`"type":"metric","metric":"a","warn_above":2,"fail_above":1`), 422, "/health_checks/1/warn_above"},
		{"metric warns below its failure", check(`"type":"metric","metric":"a","warn_below":1,"fail_below":2`), 422, "/health_checks/1/warn_below"},
		{"command without command", check(`"type":"command"`), 422, "/health_checks/1/command"},
		{"command with status", check(`"type":"command","command":"x","expected_status":["200"]`), 422, "/health_checks/1/expected_status"},
	}
}

// forbid refuses one host and one folder of sockets, as a server may.
func forbid(address string) error {
	if strings.HasPrefix(address, "http://forbidden") || strings.HasPrefix(address, "unix:/forbidden") {
		return errors.New("this host is not allowed")
	}
	return nil
}

func TestRequest_InvalidIsRefusedAtPointer(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{CheckAddress: forbid}) // without a store: a question to it is a panic, and a 500
	for _, refused := range refusedBodies() {
		t.Run(refused.name, func(t *testing.T) {
			t.Parallel()
			c.doIn(t, http.MethodPost, "/deployments", refused.body, "Content-Type", "application/json").
				wantProblem(t, refused.status, refused.pointer)
		})
	}
}

func TestRequest_AllErrorsAreReported(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	a := c.post(`{"service":"X","version":"","targets":[{"id":"a"}],"force":1,"more":2}`)
	for _, pointer := range []string{"/service", "/version", "/targets/0/address", "/force", "/more"} {
		a.wantProblem(t, http.StatusUnprocessableEntity, pointer)
	}
}

func TestRequest_ErrorsOmitSecrets(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	for _, body := range []string{
		with("deploy", `{"secret":"hunter2-hunter2"}`),
		with("deploy", `{"secret":["hunter2-hunter2"]}`),
		target(`"id":"b","address":"http://user:hunter2-hunter2@b:99999"`),
	} {
		a := c.post(body)
		a.wantProblem(t, http.StatusUnprocessableEntity, noPointer)
		if strings.Contains(string(a.body), "hunter2") {
			t.Errorf("the answer repeats the secret: %s", a.body)
		}
	}
}

func TestRequest_OtherContentTypeIsRefused(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	good := with("force", "true")
	for _, headers := range [][]string{
		{"Content-Type", "text/plain"},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "json"},
		{"Content-Type", "application/json; charset=latin1"},
		{"Content-Encoding", "gzip"},
		{"Content-Encoding", "GZIP"},
		{"Content-Encoding", "identity", "Content-Encoding", "gzip"},
		{"Content-Encoding", "br, gzip"},
	} {
		c.post(good, headers...).wantProblem(t, http.StatusUnsupportedMediaType, noPointer)
	}
	for _, types := range [][]string{nil, {"application/json", "text/html"}, {"application/json", "application/json"}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/deployments", strings.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		request.Header["Content-Type"] = types
		c.send(request).wantProblem(t, http.StatusUnsupportedMediaType, noPointer)
	}
}

func TestRequest_BodyOver8MiBIsRefused(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	large := strings.Repeat(" ", 8<<20+1)
	c.post(large).wantProblem(t, http.StatusRequestEntityTooLarge, noPointer)

	chunked, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/deployments",
		struct{ *strings.Reader }{strings.NewReader(large)})
	if err != nil {
		t.Fatal(err)
	}
	chunked.Header.Set("Content-Type", "application/json")
	c.send(chunked).wantProblem(t, http.StatusRequestEntityTooLarge, noPointer)
}

func TestKey_InvalidIsMalformed(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{})
	good := with("force", "true")
	const name = "Idempotency-Key"
	for _, headers := range [][]string{
		{name, ""}, {name, strings.Repeat("k", 256)}, {name, "a", name, "b"}, {name, "a", name, "a"}, {name, "\xff"}, {name, "k\u202e"},
	} {
		c.post(good, headers...).wantProblem(t, http.StatusBadRequest, noPointer)
	}
}
