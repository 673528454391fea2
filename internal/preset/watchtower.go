package preset

import (
	"rollcall/internal/request"
	"rollcall/internal/secret"
)

// watchtower calls the HTTP API of Watchtower 1.7. It answers 200 when the scan is over, whatever came of it, and at once when
// another scan is running.
func watchtower() Preset {
	return Preset{
		Name: "watchtower",
		Summary: "Watchtower's HTTP API: it pulls the tag that each container has, so it cannot go to a version. " +
			"It answers 200 even when nothing was updated: add a check with version_pointer.",
		Params: []Param{tokenParam("token", "WATCHTOWER_HTTP_API_TOKEN.")},
		expand: func(params map[string]string) Deploy {
			empty := "" // Watchtower copies the body to its log
			return Deploy{Request: request.Request{
				Method: "POST", URL: "{target.address}/v1/update", Text: &empty, Sign: &request.Sign{Type: request.SignNone},
				Headers: map[string]secret.Secret{"Authorization": secret.Secret("Bearer " + literal(params["token"]))},
			}}
		},
	}
}
