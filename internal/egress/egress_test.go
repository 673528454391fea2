package egress

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const (
	oldKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newKey = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// authority is a private CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = template, newECKey(t)
	der := a.sign(template, a.key)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.pem = cert, block("CERTIFICATE", der)
	return a
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue gives a certificate for 127.0.0.1 and its key, in PEM.
func (a *authority) issue() (cert string, key secret.Secret) {
	a.t.Helper()
	own := newECKey(a.t)
	der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "one"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, own)
	encoded, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return block("CERTIFICATE", der), secret.Secret(block("EC PRIVATE KEY", encoded))
}

// serve is a TLS server with a certificate of the authority; change may ask for more.
func (a *authority) serve(change func(*tls.Config)) (url string, calls *atomic.Int32) {
	a.t.Helper()
	cert, key := a.issue()
	certificate, err := tls.X509KeyPair([]byte(cert), []byte(key.Reveal()))
	if err != nil {
		a.t.Fatal(err)
	}
	calls = new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.URL, calls
}

func post(t *testing.T, c Config, w Webhook) rollout.CallResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if w.ID == "" {
		w.ID = "msg_1"
	}
	return New(c).Post(ctx, w)
}

func want(t *testing.T, got rollout.CallResult, kind rollout.ResultKind, message string) {
	t.Helper()
	if got.Kind != kind || !strings.Contains(got.Message, message) {
		t.Errorf("got %s %q, want %s with %q", got.Kind, got.Message, kind, message)
	}
}

func TestTLS_PrivateCAIsTrustedOnlyWhereSet(t *testing.T) {
	t.Parallel()
	mine, others := newAuthority(t), newAuthority(t)
	url, calls := mine.serve(nil)
	want(t, post(t, Config{}, Webhook{URL: url}), rollout.ResultNotSent, "certificate")
	want(t, post(t, Config{}, Webhook{URL: url, Trust: &rollout.TLS{CA: others.pem}}), rollout.ResultNotSent, "certificate")
	want(t, post(t, Config{}, Webhook{URL: url, Trust: &rollout.TLS{CA: mine.pem}}), rollout.ResultDone, "HTTP 200")
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestTLS_CertificateNameMustMatch(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	url, _ := ca.serve(nil)
	elsewhere := strings.Replace(url, "127.0.0.1", "localhost", 1)
	want(t, post(t, Config{}, Webhook{URL: elsewhere, Trust: &rollout.TLS{CA: ca.pem}}), rollout.ResultNotSent, "certificate")
}

func TestTLS_SendsClientCertificateOnRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	url, calls := ca.serve(func(c *tls.Config) {
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		c.ClientCAs.AddCert(ca.cert)
	})
	if got := post(t, Config{}, Webhook{URL: url, Trust: &rollout.TLS{CA: ca.pem}}); got.Kind == rollout.ResultDone {
		t.Errorf("got %s %q without a certificate", got.Kind, got.Message)
	}
	cert, key := ca.issue()
	want(t, post(t, Config{}, Webhook{URL: url, Trust: &rollout.TLS{CA: ca.pem, ClientCert: cert, ClientKey: key}}),
		rollout.ResultDone, "HTTP 200")
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestTLS_RequiresTLS12AndVerification(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	old, _ := ca.serve(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	trust := &rollout.TLS{CA: ca.pem}
	lax := Config{TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}}
	want(t, post(t, lax, Webhook{URL: old, Trust: trust}), rollout.ResultNotSent, "protocol version")
	modern, _ := ca.serve(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	want(t, post(t, lax, Webhook{URL: modern, Trust: trust}), rollout.ResultDone, "HTTP 200")
	want(t, post(t, lax, Webhook{URL: modern}), rollout.ResultNotSent, "certificate")
}

func TestTLS_UnusableCertificateErrorOmitsKey(t *testing.T) {
	t.Parallel()
	cert, key := newAuthority(t).issue()
	_, otherKey := newAuthority(t).issue()
	for name, bad := range map[string]*rollout.TLS{
		"no PEM": {CA: "hunter2"}, "no key": {ClientCert: cert}, "no certificate": {ClientKey: key},
		"another's key": {ClientCert: cert, ClientKey: otherKey}, "no key in PEM": {ClientCert: cert, ClientKey: "hunter2"},
		"a key as CA": {CA: key.Reveal()},
	} {
		err := ValidateTLS(bad)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
		if got := post(t, Config{}, Webhook{URL: "https://127.0.0.1:1", Trust: bad}); got.Kind != rollout.ResultNotSent {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := ValidateTLS(&rollout.TLS{ClientCert: cert, ClientKey: key}); err != nil {
		t.Error(err)
	}
}

func TestSigning_EitherOfTwoKeysVerifies(t *testing.T) {
	t.Parallel()
	var header http.Header
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	t.Cleanup(s.Close)
	want(t, post(t, Config{}, Webhook{URL: s.URL, Secret: newKey + " " + oldKey, Body: "x"}), rollout.ResultDone, "HTTP 200")
	for _, key := range []string{newKey, oldKey} {
		oracle, err := standardwebhooks.NewWebhook(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := oracle.Verify(body, header); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if err := oracle.Verify(bytes.ToUpper(body), header); err == nil {
			t.Errorf("%s: the signature does not cover the body", key)
		}
	}
}

func TestPost_InvalidSecretSendsNothing(t *testing.T) {
	t.Parallel()
	for _, bad := range []secret.Secret{"***", "hunter2", "whsec_", "whsec_???", newKey + " ", newKey + " " + oldKey + " " + oldKey} {
		got := post(t, Config{}, Webhook{URL: "http://127.0.0.1:1", Secret: bad})
		want(t, got, rollout.ResultNotSent, "signing secret")
		if strings.Contains(got.Message, "hunter2") {
			t.Errorf("it shows the secret: %s", got.Message)
		}
	}
}

// A Location that is not a URL does no harm either.
func TestDo_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"http://[bad", "%zz", "/elsewhere", "", ":", "http://a b/"} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			}))
			want(t, post(t, Config{}, Webhook{URL: s.URL}), rollout.ResultRefused, "HTTP "+strconv.Itoa(status))
			s.Close()
		}
	}
}

func TestPost_OnlyHTTPIsSupported(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"ftp://host/", "file:///etc/passwd", "gopher://host/", "//host", "host"} {
		want(t, post(t, Config{}, Webhook{URL: url}), rollout.ResultNotSent, "neither http nor https")
	}
}
