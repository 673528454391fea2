package request

import (
	"rollcall/internal/secret"
)

// Request is one call of another service, before its placeholders are filled in.
type Request struct {
	Method string `json:"method"`
	// URL has placeholders in its path and query; it begins with a scheme and a host, or with {target.address}.
	URL string `json:"url"`
	// Headers hold credentials as often as not, so each value is a secret.
	Headers map[string]secret.Secret `json:"headers,omitempty"`
	// At most one of JSON, Form and Text is the body.
	JSON JSON              `json:"json,omitempty"`
	Form map[string]string `json:"form,omitempty"`
	Text *string           `json:"text,omitempty"`
	Sign *Sign             `json:"sign,omitempty"`
}

// The kinds of signature.
const (
	SignStandard = "standard"
	SignHMAC     = "hmac"
	SignNone     = "none"
)

// Sign says how a call is signed. The fields other than Type are for SignHMAC.
type Sign struct {
	Type string `json:"type"`
	// Header carries the signature of the raw body, with Prefix before it.
	Header    string `json:"header,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	Encoding  string `json:"encoding,omitempty"`
	Prefix    string `json:"prefix,omitempty"`
}

// SignType returns how the request is signed; without Sign that is SignStandard.
func (r *Request) SignType() string {
	if r.Sign == nil {
		return SignStandard
	}
	return r.Sign.Type
}

// HasBody reports whether the request has a body of its own.
func (r *Request) HasBody() bool { return len(r.JSON) > 0 || r.Form != nil || r.Text != nil }

// The methods without a body, unless the request has one.
const (
	methodGet    = "GET"
	methodDelete = "DELETE"
)

// UsesDefaultBody reports whether the call has the body that the caller sends by default.
func (r *Request) UsesDefaultBody() bool {
	return !r.HasBody() && r.Method != methodGet && r.Method != methodDelete
}

// The names of placeholders that are keys of what the caller gives.
const (
	// Address is the placeholder that a URL may begin with.
	Address        = "target.address"
	metadataPrefix = "target.metadata."
	labelPrefix    = "labels."
)

// Value is what a placeholder stands for.
type Value struct {
	Text string
	// JSON stands in the place of a string of a JSON body that is exactly the placeholder; nil for a text.
	JSON []byte
}

// Values returns the value of a placeholder; false when there is none.
type Values func(name string) (Value, bool)

// Names reports whether a placeholder exists, though it may have no value.
type Names func(name string) bool
