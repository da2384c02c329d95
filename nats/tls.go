package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// tlsURL tells whether a URL asks for TLS.
func (c *Config) tlsURL() bool { return c.hasScheme("tls") || c.hasScheme("wss") }

func (c *Config) hasScheme(wanted string) bool {
	for _, url := range c.URLs {
		if scheme, _, _ := strings.Cut(strings.ToLower(url), "://"); scheme == wanted {
			return true
		}
	}
	return false
}

func (c *Config) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls_ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca_file: no certificate in %s", c.CAFile)
		}
	}
	switch {
	case c.CertFile == "" && c.KeyFile != "":
		return nil, errors.New("tls_cert_file is not set, but tls_key_file is")
	case c.CertFile != "" && c.KeyFile == "":
		return nil, errors.New("tls_key_file is not set, but tls_cert_file is")
	case c.CertFile != "":
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls_cert_file, tls_key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
