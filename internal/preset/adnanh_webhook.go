package preset

import (
	"cmp"

	"rollcall/internal/request"
)

// adnanhWebhook calls adnanh/webhook 2.8. Without include-command-output-in-response it answers 200 before the command ends,
// so the body must say that it did.
func adnanhWebhook() Preset {
	return Preset{
		Name: "adnanh-webhook",
		Summary: "adnanh/webhook with an HMAC. The hook answers with the output of its command, " +
			`a JSON object whose status is "deployed" or "failed".`,
		Params: []Param{
			pathParam("hook", "The id of the hook.", true),
			pathParam("prefix", "The server's -urlprefix; defaults to hooks.", false),
		},
		expand: func(params map[string]string) Deploy {
			return Deploy{
				Request: request.Request{
					Method: "POST", URL: "{target.address}/" + cmp.Or(params["prefix"], "hooks") + "/" + params["hook"],
					JSON: request.JSON(`{"action":"{action}","fence":"{fence}","previous_version":"{previous_version}","version":"{version}"}`),
					Sign: &request.Sign{
						Type: request.SignHMAC, Header: "X-Hub-Signature-256", Algorithm: "sha256", Encoding: "hex", Prefix: "sha256=",
					},
				},
				RetryOn: []string{"408", "425", "429", "502-504"}, // 500 is a command that has failed
				Done: &request.Done{
					Type: request.DoneJSON, Pointer: "/status", Equals: []request.Scalar{"deployed"}, Fails: []request.Scalar{"failed", "outdated"},
				},
			}
		},
	}
}
