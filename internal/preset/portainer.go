package preset

import "rollcall/internal/request"

// portainer calls the webhook of a Swarm service in Portainer 2. It answers when Swarm has taken the update, and Swarm then
// replaces the containers.
func portainer() Preset {
	return Preset{
		Name: "portainer",
		Summary: "The webhook of a Swarm service in Portainer; the target's address is Portainer's, and the version is the image's tag. " +
			"It answers before the containers are replaced: add a check with version_pointer.",
		Params: []Param{pathParam("webhook", "The id at the end of the webhook's URL. It is part of the URL, so readers of the definition see it.", true)},
		expand: func(params map[string]string) Deploy {
			empty := ""
			return Deploy{Request: request.Request{
				Method: "POST", URL: "{target.address}/api/webhooks/" + params["webhook"] + "?tag={version}", Text: &empty,
				Sign: &request.Sign{Type: request.SignNone},
			}}
		},
	}
}
