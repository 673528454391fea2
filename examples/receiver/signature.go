package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far the timestamp of a call may be from the clock of this machine.
const tolerance = 5 * time.Minute

// readKey reads a key of Standard Webhooks: whsec_ and base64.
func readKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "whsec_")
	if !ok {
		return nil, fmt.Errorf("%s: the key does not begin with whsec_", file)
	}
	return base64.StdEncoding.DecodeString(encoded)
}

// verifySignature reports whether one of the signatures of a call is by the key, and the call is not old.
func verifySignature(key []byte, header http.Header, body []byte, now time.Time) bool {
	id, sent := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + sent + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for signature := range strings.FieldsSeq(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			return true
		}
	}
	return false
}
