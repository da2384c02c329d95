package nats

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// explain is an error of the client in words that hold no URL.
func explain(err error) string { return clean(reason(err)) }

// shown is how much is shown of what a server said.
const shown = 500

// clean is text from outside as it may stand in an SQL result: whatever answers
// at the other end must not make the caller's statement fail.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "..."
	}
	return text
}

func reason(err error) string {
	var op *net.OpError
	var parse *url.Error
	var api jetstream.JetStreamError
	switch {
	case errors.As(err, &api) && api.APIError() != nil:
		return api.APIError().Description
	case errors.As(err, &parse):
		// What it says can quote a password.
		return "nats_url holds no URL"
	case errors.Is(err, nats.ErrNoServers):
		// What the client makes of refused connections.
		return "connection refused"
	case timedOut(err), errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return "timed out"
	case errors.As(err, &op):
		return strings.ReplaceAll(op.Err.Error(), "connect: ", "")
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected), errors.Is(err, io.EOF):
		return "the connection was lost"
	case errors.Is(err, nats.ErrNoInfoReceived):
		return "what listens there does not greet as a NATS server does"
	}
	return strings.TrimPrefix(err.Error(), "nats: ")
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		(errors.As(err, &network) && network.Timeout())
}

// settingsError is a configuration, or a file that it names, which is in the
// way of a connection: waiting does not help.
type settingsError struct{ err error }

func (e *settingsError) Error() string { return e.err.Error() }

// diagnose is err, or the setting to blame for it in its place.
func (c *Config) diagnose(err error) error {
	blame := func(format string, args ...any) error {
		return &settingsError{errors.New(clean(fmt.Sprintf(format, args...)))}
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return blame("NATS refuses %s: %s", c.credentials(), strings.ToLower(explain(err)))
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return blame("auth_type 'nkey': the server asks for no nkey")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return blame("tls_enabled or a tls:// URL asks for TLS, which the server does not offer")
	case errors.As(err, &unknown):
		return blame("tls_ca_file: the server's certificate is not signed by an authority that %s", c.authority())
	case errors.As(err, &name):
		return blame("nats_url: the server's certificate is for another host")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return blame("the certificate of the server in nats_url has expired or is not valid yet")
	case errors.As(err, &invalid):
		return blame("the certificate of the server in nats_url is not valid: %s", invalid.Error())
	case errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate"):
		// An alert of TLS; crypto/tls has no other name for it than its text.
		return blame("%s: %s", c.clientCertificate(), op.Err)
	case errors.Is(err, nats.ErrTLS) && strings.Contains(err.Error(), "after TLS handshake"):
		// With TLS 1.3 the alert comes after the handshake, and our writing into
		// the closed connection may be faster.
		return blame("%s: the server ended the connection after the TLS handshake", c.clientCertificate())
	}
	return err
}

// credentials are the settings that a login is made of, or which of them is
// missing.
func (c *Config) credentials() string {
	switch c.AuthType {
	case "token":
		return "auth_token"
	case "userpass":
		return "auth_user and auth_password"
	case "credentials":
		return "auth_credentials_file " + c.CredentialsFile
	case "nkey":
		return "auth_nkey_seed"
	}
	return "a client without credentials of its own (auth_type is 'none')"
}

func (c *Config) clientCertificate() string {
	if c.CertFile == "" {
		return "the server asks for a client certificate, and tls_cert_file is not set"
	}
	return "the server refuses the client certificate in tls_cert_file " + c.CertFile
}

func (c *Config) authority() string {
	if !c.TLS && !c.tlsURL() {
		return "this machine knows, and tls_ca_file counts with tls_enabled or a tls:// URL only"
	}
	if c.CAFile == "" {
		return "this machine knows, and tls_ca_file is not set"
	}
	return c.CAFile + " holds"
}
