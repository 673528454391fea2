package rollout

import "rollcall/internal/secret"

// TLS says whom the calls of a deployment trust and who they say they are. It holds for targets, checks and routers that
// speak TLS, and lets none of them go unchecked.
type TLS struct {
	// CA holds certificates in PEM; they are trusted instead of the system's roots. Empty means those.
	CA string `json:"ca,omitempty"`
	// ClientCert and ClientKey are shown to those who ask for a certificate; both in PEM, or both empty.
	ClientCert string        `json:"client_cert,omitempty"`
	ClientKey  secret.Secret `json:"client_key,omitempty"`
}
