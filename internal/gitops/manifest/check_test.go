package manifest

import "testing"

func TestParse_RefusesSecrets(t *testing.T) {
	t.Parallel()
	for text, pointer := range map[string]string{
		"service: a\ndeploy: {secret: whsec_x}":                                              "/deploy/secret",
		"service: a\ndeploy: {preset: watchtower, params: {token: x}}":                       "/deploy/params",
		"service: a\ndeploy: {request: {url: 'http://a', headers: {Authorization: x}}}":      "/deploy/request/headers",
		"service: a\nhealth_checks: [{type: http, headers: {Authorization: x}}]":             "/health_checks/0/headers",
		"service: a\ntls: {client_key: x}":                                                   "/tls/client_key",
		"service: a\ndeploy: {request: {url: '{target.address}/x', json: {a: '{version}'}}}": "",
	} {
		got := ""
		if _, problem := Parse([]byte(text)); problem != nil {
			got = problem.Pointer
		}
		if got != pointer {
			t.Errorf("%s: %q", text, got)
		}
	}
}
