// Package secret has strings that are never shown, and the keys in signing secrets.
package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is a string that prints as "***" wherever it is formatted, logged or encoded. Reveal gives the value.
type Secret string

const redacted = "***"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Format prints "***" whatever the format, or nothing when the secret is empty.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = f.Write([]byte(redacted)) // fmt.State keeps its own errors
	}
}

// MarshalText encodes "***", or nothing when the secret is empty.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// LogValue logs "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// signingPrefix begins every key of a signing secret (Standard Webhooks 1.0, "Signature scheme").
const signingPrefix = "whsec_"

// maxSigningKeys is how many keys sign at once: the new one, and the old one until all receivers know the new.
const maxSigningKeys = 2

var errSigning = errors.New(`the signing secret is not "whsec_" followed by base64, nor two such with a space between them`)

// SigningKeys returns the keys that a signing secret holds: one, or two that both sign while receivers learn the second. The
// error never quotes the secret.
func SigningKeys(s Secret) ([][]byte, error) {
	written := strings.Split(s.Reveal(), " ")
	if len(written) > maxSigningKeys {
		return nil, errSigning
	}
	var keys [][]byte
	for _, w := range written {
		encoded, ok := strings.CutPrefix(w, signingPrefix)
		key, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(key) == 0 || strings.ContainsAny(encoded, "\r\n") {
			return nil, errSigning // the decoder's own error would quote the secret
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Redacted reports whether "***" stands for the secret.
func (s Secret) Redacted() bool { return s == redacted }

// Or returns known when s is redacted and known is not empty, else s.
func (s Secret) Or(known Secret) Secret {
	if s.Redacted() && known != "" {
		return known
	}
	return s
}
