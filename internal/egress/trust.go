package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"rollcall/internal/rollout"
)

var (
	errCA          = errors.New("ca holds no certificate in PEM")
	errCertificate = errors.New("client_cert and client_key are not a certificate and its key, both in PEM")
)

// TLS returns the configuration of the client's connections when they trust what trust says; nil trusts the system's roots
// and shows no certificate. There is no way to leave out the check of the other side.
func (c *Client) TLS(trust *rollout.TLS) (*tls.Config, error) {
	config := c.tls.Clone()
	if trust == nil {
		return config, nil
	}
	if trust.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(trust.CA)) {
			return nil, errCA
		}
	}
	if trust.ClientCert != "" || trust.ClientKey != "" {
		certificate, err := tls.X509KeyPair([]byte(trust.ClientCert), []byte(trust.ClientKey.Reveal()))
		if err != nil {
			return nil, errCertificate // the cause may quote the key
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// ValidateTLS validates the certificates and the key of trust.
func ValidateTLS(trust *rollout.TLS) error {
	_, err := New(Config{}).TLS(trust)
	return err
}

func requireTLS12(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.InsecureSkipVerify = false
	return c
}
