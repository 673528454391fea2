package egress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/secret"
)

// signRequest sets the three headers of Standard Webhooks 1.0, with a signature by each key of the secret, so that a receiver
// may know the old key or the new one while keys are changed. Without a secret there is no signature.
func signRequest(h http.Header, signing secret.Secret, id string, at time.Time, payload []byte) error {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	if signing == "" {
		return nil
	}
	keys, err := secret.SigningKeys(signing)
	if err != nil {
		return err //nolint:wrapcheck // it says all there is to say
	}
	var signatures []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(payload)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("Webhook-Signature", strings.Join(signatures, " "))
	return nil
}
