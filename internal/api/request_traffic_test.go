package api_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/api"
)

func invalidTraffic() []refusedBody {
	webhook := func(more string) string { return with("traffic", `{"type":"webhook","url":"http://lb/w"`+more+`}`) }
	haproxy := func(more string) string { return with("traffic", `{"type":"haproxy"`+more+`}`) }
	const socket, backend = `,"socket":"unix:/run/h.sock"`, `,"backend":"web"`
	return []refusedBody{
		{"traffic a string", with("traffic", `"webhook"`), 422, "/traffic"},
		{"traffic without type", with("traffic", `{"url":"http://lb"}`), 422, "/traffic/type"},
		{"traffic of unknown type", with("traffic", `{"type":"nginx"}`), 422, "/traffic/type"},
		{"traffic unknown field", webhook(`,"weight":1`), 422, "/traffic/weight"},
		{"webhook without url", with("traffic", `{"type":"webhook"}`), 422, "/traffic/url"},
		{"webhook url relative", with("traffic", `{"type":"webhook","url":"/w"}`), 422, "/traffic/url"},
		{"webhook url with a password", with("traffic", `{"type":"webhook","url":"http://u:p@lb"}`), 422, "/traffic/url"},
		{"webhook url not allowed", with("traffic", `{"type":"webhook","url":"http://forbidden/w"}`), 422, "/traffic/url"},
		{"webhook with socket", webhook(socket), 422, "/traffic/socket"},
		{"webhook with backend", webhook(backend), 422, "/traffic/backend"},
		{"webhook read_back a string", webhook(`,"read_back":"yes"`), 422, "/traffic/read_back"},
		{"traffic timeout zero", webhook(`,"timeout":"0s"`), 422, "/traffic/timeout"},
		{"traffic timeout too long", webhook(`,"timeout":"11m"`), 422, "/traffic/timeout"},
		{"traffic timeout no duration", webhook(`,"timeout":"soon"`), 422, "/traffic/timeout"},
		{"traffic retries negative", webhook(`,"retries":-1`), 422, "/traffic/retries"},
		{"traffic retries too many", webhook(`,"retries":21`), 422, "/traffic/retries"},
		{"traffic backoff negative", webhook(`,"backoff":"-1s"`), 422, "/traffic/backoff"},
		{"traffic drain too long", webhook(`,"drain":"25h"`), 422, "/traffic/drain"},
		{"haproxy without socket", haproxy(backend), 422, "/traffic/socket"},
		{"haproxy without backend", haproxy(socket), 422, "/traffic/backend"},
		{"haproxy with url", haproxy(socket + backend + `,"url":"http://lb"`), 422, "/traffic/url"},
		{"haproxy not read back", haproxy(socket + backend + `,"read_back":false`), 422, "/traffic/read_back"},
		{"haproxy socket relative", haproxy(`,"socket":"unix:h.sock"` + backend), 422, "/traffic/socket"},
		{"haproxy socket climbs", haproxy(`,"socket":"unix:/run/../h.sock"` + backend), 422, "/traffic/socket"},
		{"haproxy socket too long", haproxy(`,"socket":"unix:/` + strings.Repeat("s", 107) + `"` + backend), 422, "/traffic/socket"},
		{"haproxy socket without port", haproxy(`,"socket":"lb"` + backend), 422, "/traffic/socket"},
		{"haproxy socket with port 0", haproxy(`,"socket":"lb:0"` + backend), 422, "/traffic/socket"},
		{"haproxy socket a URL", haproxy(`,"socket":"http://lb:1"` + backend), 422, "/traffic/socket"},
		{"haproxy socket with a line break", haproxy(`,"socket":"unix:/run/h\nx"` + backend), 422, "/traffic/socket"},
		{"haproxy socket not allowed", haproxy(`,"socket":"unix:/forbidden/h.sock"` + backend), 422, "/traffic/socket"},
		{"haproxy second socket not allowed", haproxy(`,"sockets":["lb:1","unix:/forbidden/h.sock"]` + backend), 422, "/traffic/sockets/1"},
		{"haproxy second socket relative", haproxy(socket + `,"sockets":["unix:h.sock"]` + backend), 422, "/traffic/sockets/0"},
		{"haproxy socket twice", haproxy(socket + `,"sockets":["lb:1","unix:/run/h.sock"]` + backend), 422, "/traffic/sockets/1"},
		{"haproxy sockets twice", haproxy(`,"sockets":["lb:1","lb:1"]` + backend), 422, "/traffic/sockets"},
		{"haproxy no sockets", haproxy(`,"sockets":[]` + backend), 422, "/traffic/sockets"},
		{"haproxy backend twice", haproxy(socket + backend + `,"backends":["web"]`), 422, "/traffic/backends/0"},
		{"haproxy second backend a command", haproxy(socket + `,"backends":["web","web;quit"]`), 422, "/traffic/backends/1"},
		{"haproxy take_out unknown", haproxy(socket + backend + `,"take_out":"stop"`), 422, "/traffic/take_out"},
		{"webhook with take_out", webhook(`,"take_out":"maint"`), 422, "/traffic/take_out"},
		{"webhook with sockets", webhook(`,"sockets":["lb:1"]`), 422, "/traffic/sockets"},
		{"webhook with backends", webhook(`,"backends":["web"]`), 422, "/traffic/backends"},
		{"haproxy backend a command", haproxy(socket + `,"backend":"web;quit"`), 422, "/traffic/backend"},
	}
}

func TestTraffic_InvalidIsRefusedAtPointer(t *testing.T) {
	t.Parallel()
	c := serve(t, api.Config{CheckAddress: forbid})
	for _, refused := range invalidTraffic() {
		t.Run(refused.name, func(t *testing.T) {
			t.Parallel()
			c.doIn(t, http.MethodPost, "/deployments", refused.body).wantProblem(t, refused.status, refused.pointer)
		})
	}
}

func TestTraffic_ResponseIncludesDefaults(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	for body, want := range map[string]any{
		`null`: nil,
		`{"type":"webhook","url":"http://lb/w?x=1"}`: map[string]any{
			"type": "webhook", "url": "http://lb/w?x=1", "read_back": false, "timeout": "10s", "retries": 5.0, "backoff": "1s", "drain": "0s",
		},
		`{"type":"webhook","url":"http://lb","read_back":true,"timeout":"2s","retries":0,"backoff":"0s","drain":"5s"}`: map[string]any{
			"type": "webhook", "url": "http://lb", "read_back": true, "timeout": "2s", "retries": 0.0, "backoff": "0s", "drain": "5s",
		},
		`{"type":"haproxy","socket":"lb:9999","backend":"web"}`: map[string]any{
			"type": "haproxy", "socket": "lb:9999", "backend": "web", "read_back": true, "timeout": "10s", "retries": 5.0, "backoff": "1s", "drain": "0s",
		},
		`{"type":"haproxy","sockets":["a:1","b:1"],"backends":["web","app"],"take_out":"maint"}`: map[string]any{
			"type": "haproxy", "sockets": []any{"a:1", "b:1"}, "backends": []any{"web", "app"}, "take_out": "maint",
			"read_back": true, "timeout": "10s", "retries": 5.0, "backoff": "1s", "drain": "0s",
		},
	} {
		id := c.created(with("traffic", body))
		if got, there := c.get("/deployments/" + id).object(t)["traffic"]; !there || !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %v", body, got)
		}
	}
}
