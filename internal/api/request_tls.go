package api

import (
	"rollcall/internal/api/gen"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

// maskedSecret is what stands for a secret in answers.
const maskedSecret = "***"

// tls reads whom calls trust; nil when nothing is said.
func (q *request) tls(g *gen.TLSRequest) *rollout.TLS {
	if g == nil || *g == (gen.TLSRequest{}) {
		return nil
	}
	t := &rollout.TLS{CA: or(g.CA, ""), ClientCert: or(g.ClientCert, ""), ClientKey: or(g.ClientKey, "")}
	kept := q.secretGiven(t.ClientKey, "/tls/client_key")
	switch {
	case t.ClientCert == "" && t.ClientKey != "":
		q.add("/tls/client_cert", "is required with client_key")
	case t.ClientCert != "" && t.ClientKey == "":
		q.add("/tls/client_key", "is required with client_cert")
	case q.checkTrust != nil && !kept:
		if err := q.checkTrust(t); err != nil {
			q.add("/tls", "%v", err)
		}
	}
	return t
}

// secretGiven reports whether "***" stands for the secret, and blames it where nothing is known that it could stand for.
func (q *request) secretGiven(s secret.Secret, pointer string) bool {
	if !s.Redacted() {
		return false
	}
	if !q.masked {
		q.add(pointer, "%q stands for a secret that is kept, and here is none: give the secret itself", maskedSecret)
	}
	return true
}
