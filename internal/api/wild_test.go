package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"
)

// wild is a request that no sensible client would send, or hardly any.
type wild struct {
	method, target string
	header         http.Header
	body           []byte
}

// operation is a call that openapi.yaml describes.
type operation struct {
	method, path string
	described    *openapi3.Operation
	parameters   openapi3.Parameters
}

// wilds makes wild requests out of openapi.yaml.
type wilds struct {
	assault    *assault
	usual      map[string][]any
	operations []operation
}

func newWilds(a *assault) *wilds {
	w := &wilds{assault: a, usual: usual()}
	paths := a.answers.doc.Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		operations := paths[path].Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			o := operations[method]
			w.operations = append(w.operations, operation{method, path, o, slices.Concat(paths[path].Parameters, o.Parameters)})
		}
	}
	return w
}

// dice are what all of a request is drawn with. Rapid makes their seed, so that its flags repeat a failure; its own integers
// would be small ones mostly.
type dice struct{ *rand.Rand }

func newDice(t *rapid.T) *dice {
	seed := uint64(0)
	for range 64 {
		seed <<= 1
		if rapid.Bool().Draw(t, "bit") {
			seed |= 1
		}
	}
	return &dice{rand.New(rand.NewPCG(seed, 0))}
}

// one draws an element; the list may have one twice to make it likelier.
func one[T any](d *dice, list ...T) T { return list[d.IntN(len(list))] }

// chance is true in so many cases of a hundred.
func chance(d *dice, percent int) bool { return d.IntN(100) < percent }

func (w *wilds) draw(d *dice) wild {
	o := one(d, w.operations...)
	request := wild{method: o.method, header: http.Header{}}
	if chance(d, 3) {
		request.method = one(d, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
	}
	request.target = "http://server" + w.fill(d, o.path) + w.query(d, o)
	w.headers(d, o, request.header)
	if o.described.RequestBody != nil || chance(d, 2) {
		request.body = w.body(d, o)
		request.header.Set("Content-Type", "application/json")
		if chance(d, 4) {
			request.header["Content-Type"] = one(d, nil, []string{"text/plain"}, []string{"application/json; charset=utf-16"},
				[]string{"application/json", "text/html"}, []string{";"}, []string{"application/json; charset=UTF-8"})
		}
		if chance(d, 2) {
			request.header.Set("Content-Encoding", one(d, "gzip", "identity", "br, gzip", ""))
		}
	}
	return request
}

// fill puts something for each parameter of a path template.
func (w *wilds) fill(d *dice, template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		switch {
		case chance(d, 8):
			parts[i] = one(d, "%00", "%ff", "%2e%2e", "%2F", "..", "A", "%E2%80%AE", "", strings.Repeat("a", 3000), "%20", "a%0Ab", "*")
		case part == "{id}" && chance(d, 90) && len(w.assault.ids) > 0:
			parts[i] = one(d, w.assault.ids...)
		case part == "{id}":
			parts[i] = one(d, "01890000-0000-7000-8000-000000000000", "01890000-0000-7000-8000-00000000000A", "1", "null")
		case part == "{environment}":
			parts[i] = one(d, "production", "production", "staging")
		default:
			parts[i] = one(d, "checkout", "checkout", "billing")
		}
	}
	return strings.Join(parts, "/")
}

func (w *wilds) query(d *dice, o operation) string {
	query := url.Values{}
	for _, p := range o.parameters {
		if p.Value.In != openapi3.ParameterInQuery || !chance(d, 25) {
			continue
		}
		value := one(d, "", "1", "0", "-1", "true", "1ms", "production", "2026-01-01T00:00:00Z", "9999999999999999999999", "\x00", "\xff",
			"a\u202eb", "pending", "%", "1e3", "30d", strings.Repeat("9", 400), "eyJ")
		if p.Value.Name == "wait" { // the others would make the test wait, too
			value = one(d, "0s", "1ms", "-1s", "soon", "1000h")
		}
		query.Add(p.Value.Name, value)
		if chance(d, 3) {
			query.Add(p.Value.Name, value)
		}
	}
	if chance(d, 2) {
		query.Set(one(d, "unknown", "\x00", strings.Repeat("q", 300)), "1")
	}
	if len(query) == 0 {
		return one(d, "", "", "", "", "", "", "", "?", "?%zz", "?;")
	}
	return "?" + query.Encode()
}

func (w *wilds) headers(d *dice, o operation, h http.Header) {
	for _, p := range o.parameters {
		if p.Value.In != openapi3.ParameterInHeader || !chance(d, 20) {
			continue
		}
		h.Set(p.Value.Name, one(d, `"1"`, `"2"`, "*", "", "1", `W/"1"`, `"x", "1"`, strings.Repeat("k", 300), "\xff", "k\u202e", `"`, `"99999999999999999999"`, "a", "b"))
		if chance(d, 3) {
			h.Add(p.Value.Name, "again")
		}
	}
	if chance(d, 3) {
		h.Set("X-Request-Id", one(d, "fine-1", "a b", strings.Repeat("x", 200), "\x1b[2J"))
	}
	if chance(d, 3) {
		h.Set("Accept", one(d, "text/html", "*/*", "text/event-stream;q=0", "application/json", ""))
	}
}

// body is what the operation's schema wants, mostly with something wrong in it.
func (w *wilds) body(d *dice, o operation) []byte {
	var value any
	if o.described.RequestBody != nil {
		value = w.value(d, o.described.RequestBody.Value.Content.Get("application/json").Schema.Value, "")
	}
	for range one(d, 0, 0, 0, 0, 1, 1, 2, 4) {
		value = w.spoil(d, value, 0)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // all that is made here can be encoded
	}
	if chance(d, 10) {
		return w.garble(d, encoded)
	}
	return encoded
}

// usual are values that make sense, by the name of their field.
func usual() map[string][]any {
	return map[string][]any{
		"service": {"checkout", "billing"}, "environment": {"production", "staging"}, "version": {"v1", "v2"},
		"id": {"web-1", "web-2", "web-3"}, "name": {"a", "b", "c"}, "slot": {"blue", "green", ""},
		"address": {"http://10.0.0.1:8080", "http://10.0.0.2", "https://[fd00::1]:1", "http://web-3", "http://forbidden"},
		"url":     {"http://10.0.0.9/x", "http://forbidden/x"}, "deploy_url": {"http://10.0.0.1/hook"}, "path": {"/deploy", "/health?x=1"},
		"secret": {"whsec_MDEyMzQ1Njc4OWFiY2RlZg==", nil, "whsec_x"}, "reason": {"because", "two\nlines"},
		"type": {"http", "tcp", "none", "metric", "command", "grpc"}, "strategy": {
			map[string]any{"type": "rolling", "batch_size": "50%"},
			map[string]any{"type": "rolling"},
			map[string]any{"type": "canary", "stages": []any{50, 100}},
			map[string]any{"type": "blue_green", "promotion": "manual"},
			map[string]any{"type": "blue_green", "batch_size": 1},
		}, "traffic": {
			map[string]any{"type": "webhook", "url": "http://10.0.0.9/w", "read_back": true},
			nil,
			map[string]any{"type": "haproxy", "socket": "unix:/run/haproxy.sock", "backend": "web"},
			map[string]any{"type": "webhook"},
		}, "targets": {
			[]any{map[string]any{"id": "web-1", "address": "http://10.0.0.1"}},
			[]any{map[string]any{"id": "web-1", "address": "http://10.0.0.1", "slot": "blue"}, map[string]any{"id": "web-2", "address": "http://10.0.0.2", "slot": "green"}},
		}, "stages": {[]any{50, 100}, []any{100}},
		"batch_size": {1, "50%", []any{1, "100%"}}, "max_failures": {0, "10%"}, "version_pointer": {"/version"}, "pointer": {"/a/0"},
		"expected_status": {[]any{"200-299"}, []any{"204"}}, "headers": {map[string]any{"Authorization": "Bearer x"}, map[string]any{"A": "***"}},
		"socket": {"unix:/run/haproxy.sock", "10.0.0.1:9999"}, "backend": {"web"}, "labels": {map[string]any{"commit": "abc"}},
		"ca": {"x"}, "client_cert": {"x"}, "client_key": {"x", "***"},
	}
}

// value makes what a schema describes; most strings without a usual value are durations.
func (w *wilds) value(d *dice, schema *openapi3.Schema, name string) any {
	if known := w.usual[name]; known != nil && chance(d, 90) {
		return one(d, known...)
	}
	switch {
	case len(schema.Enum) > 0:
		return one(d, schema.Enum...)
	case schema.Type == nil:
		return one[any](d, 1, "1s", nil)
	case schema.Type.Is(openapi3.TypeObject):
		return w.object(d, schema)
	case schema.Type.Is(openapi3.TypeArray):
		list := make([]any, 0, 3)
		for range 1 + d.IntN(3) {
			list = append(list, w.value(d, schema.Items.Value, ""))
		}
		return list
	case schema.Type.Is(openapi3.TypeBoolean):
		return chance(d, 50)
	case schema.Type.Is(openapi3.TypeString):
		return one(d, "1s", "30s", "100ms", "1m30s")
	default:
		return one(d, 0, 1, 2, 5, 100)
	}
}

func (w *wilds) object(d *dice, schema *openapi3.Schema) map[string]any {
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		wanted := slices.Contains(schema.Required, name) || name == "targets"
		if wanted && chance(d, 97) || chance(d, 8) {
			object[name] = w.value(d, schema.Properties[name].Value, name)
		}
	}
	return object
}

// strange are values that a decoder, a database or a reader may trip over.
func strange(d *dice) any {
	return one[any](d, nil, true, -1, 0, 0.5, json.Number("1e400"), json.Number("-1e-400"), json.Number("1.0"), json.Number("1E2"),
		json.Number("123456789012345678901234567890"), "", "\x00", "a\u202eb", "\u2066", "\u2028", "a\nb", "\x1b[2J", "\ufffd", "𝔘", "../../etc/passwd",
		"'; DROP TABLE deployments; --", "{{7*7}}", "${jndi:ldap://x}", "file:///etc/passwd", "http://169.254.169.254/", "http://u:p@h/", "9999999h", "-1s",
		strings.Repeat("x", 5000), []any{}, map[string]any{}, []any{nil}, map[string]any{"": ""}, map[string]any{"__proto__": 1}, deep(40), deep(20))
}

func deep(levels int) any {
	var value any = 1
	for range levels {
		value = []any{value}
	}
	return value
}

// spoil changes one place of a value.
func (w *wilds) spoil(d *dice, value any, level int) any {
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 || chance(d, 15) {
			return strange(d)
		}
		name := one(d, slices.Sorted(maps.Keys(v))...)
		changed := maps.Clone(v)
		switch one(d, "drop", "add", "case", "deeper", "deeper", "deeper", "deeper") {
		case "drop":
			delete(changed, name)
		case "add":
			changed[one(d, "unknown", "", "a/b~c", "\x00", "\u202e", strings.Repeat("k", 300))] = strange(d)
		case "case":
			changed[strings.ToUpper(name)] = v[name]
		default:
			changed[name] = w.spoil(d, v[name], level+1)
		}
		return changed
	case []any:
		if len(v) == 0 || chance(d, 15) {
			return strange(d)
		}
		changed := slices.Clone(v)
		i := d.IntN(len(v))
		if chance(d, 10) {
			return append(changed, v[i])
		}
		changed[i] = w.spoil(d, v[i], level+1)
		return changed
	default:
		return strange(d)
	}
}

// garble breaks the bytes of a body.
func (w *wilds) garble(d *dice, body []byte) []byte {
	switch one(d, "cut", "cut", "byte", "byte", "trail", "twice", "surrogate", "gzip", "empty", "mark", "deep") {
	case "cut":
		return body[:d.IntN(len(body))]
	case "byte":
		changed := bytes.Clone(body)
		changed[d.IntN(len(body))] = byte(d.IntN(256))
		return changed
	case "trail":
		return append(body, one(d, " ", "x", "{}", "\x00", "]")...)
	case "twice":
		return bytes.Replace(body, []byte(`{"`), []byte(`{"service":"a","service":"b","`), 1)
	case "surrogate":
		return bytes.Replace(body, []byte(`":"`), []byte(`":"`+one(d, `\ud800`, `\udc00x`, `\ud83d\ude00`, `\u0000`, `\u202e`)), 1)
	case "gzip":
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body)
		_ = z.Close()
		return packed.Bytes()
	case "mark":
		return append([]byte("\ufeff"), body...)
	case "deep":
		return bytes.Repeat([]byte("["), 100_000)
	default:
		return nil
	}
}
