package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/rollout"
)

const secretPrefix = "whsec_"

var errSecret = errors.New(`the signing secret is not "whsec_" followed by base64`)

// ValidSecret says why a secret cannot sign, or nil. A secret is "whsec_" and the key in padded base64, as Standard
// Webhooks 1.0 writes it; 24 to 64 random bytes are its advice. The empty secret is valid and means unsigned.
func ValidSecret(s rollout.Secret) error {
	if s == "" {
		return nil
	}
	_, err := keyOf(s)
	return err
}

func keyOf(s rollout.Secret) ([]byte, error) {
	encoded, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		return nil, errSecret // the decoder's own error would quote the secret
	}
	return key, nil
}

// sign sets the three headers of Standard Webhooks 1.0; without a secret it leaves out the signature.
func sign(h http.Header, secret rollout.Secret, id string, at time.Time, payload []byte) error {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	if secret == "" {
		return nil
	}
	key, err := keyOf(secret)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(payload)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}
