package settings

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/certificate"
	"rule_engine/test/natsserver"
	"rule_engine/test/proxy"
)

func withTLS(t *testing.T, p certificate.Pair, change ...func(*server.Options)) func(*server.Options) {
	return func(o *server.Options) {
		o.TLS, o.TLSTimeout = true, patience.Seconds()
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{load(t, p)}, MinVersion: tls.VersionTLS12}
		for _, f := range change {
			f(o)
		}
	}
}

func TestTLSWithAnAuthorityOfOnesOwn(t *testing.T) {
	a := newAuthority(t)
	b := setup(t, withTLS(t, a.issue(t, time.Hour)))
	b.refused(t, "configuration", "tls_ca_file counts with tls_enabled")
	b.set(t, "tls_enabled = true")
	b.refused(t, "configuration", "tls_ca_file is not set")
	b.set(t, "tls_ca_file = $1", a.File)
	b.works(t)

	other := newAuthority(t)
	b.set(t, "tls_ca_file = $1", other.File)
	b.refused(t, "configuration", "tls_ca_file: the server's certificate is not signed by an authority that "+other.File)
	b.set(t, "tls_ca_file = '/nowhere/ca.pem'")
	b.refused(t, "configuration", "tls_ca_file: open /nowhere/ca.pem: no such file")
	b.set(t, "tls_ca_file = $1", file(t, "empty.pem", nil))
	b.refused(t, "configuration", "tls_ca_file: no certificate in")
}

func TestAnExpiredCertificateAndOneForAnotherHost(t *testing.T) {
	a := newAuthority(t)
	b := setup(t, withTLS(t, a.issue(t, -time.Hour)))
	b.set(t, "tls_enabled = true, tls_ca_file = $1", a.File)
	b.refused(t, "configuration", "has expired")

	elsewhere := a.issue(t, time.Hour, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })
	other := natsserver.Run(t, withTLS(t, elsewhere))
	b.set(t, "nats_url = $1", other.URL())
	b.refused(t, "configuration", "certificate is for another host")
}

func TestTLSThatTheServerDoesNotOffer(t *testing.T) {
	b := setup(t)
	b.set(t, "tls_enabled = true")
	b.refused(t, "configuration", "asks for TLS, which the server does not offer")
	b.set(t, "tls_enabled = false, nats_url = $1", strings.Replace(b.nats.URL(), "nats://", "tls://", 1))
	b.refused(t, "configuration", "asks for TLS, which the server does not offer")
}

func TestAClientCertificate(t *testing.T) {
	a := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	b := setup(t, withTLS(t, a.issue(t, time.Hour), func(o *server.Options) {
		o.TLSConfig.ClientAuth, o.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}))
	b.set(t, "tls_enabled = true, tls_ca_file = $1", a.File)
	b.refused(t, "configuration", "the server asks for a client certificate, and tls_cert_file is not set")

	mine := a.issue(t, time.Hour)
	b.set(t, "tls_cert_file = $1, tls_key_file = $2", mine.CertFile, mine.KeyFile)
	b.works(t)

	stranger := newAuthority(t).issue(t, time.Hour)
	b.set(t, "tls_cert_file = $1, tls_key_file = $2", stranger.CertFile, stranger.KeyFile)
	b.refused(t, "configuration", "the server refuses the client certificate in tls_cert_file "+stranger.CertFile)
	expired := a.issue(t, -time.Hour)
	b.set(t, "tls_cert_file = $1, tls_key_file = $2", expired.CertFile, expired.KeyFile)
	b.refused(t, "configuration", "the server refuses the client certificate in tls_cert_file "+expired.CertFile)
	b.set(t, "tls_cert_file = $1, tls_key_file = $2", mine.CertFile, stranger.KeyFile)
	b.refused(t, "configuration", "tls_cert_file, tls_key_file")
	b.set(t, "tls_key_file = NULL")
	b.refused(t, "configuration", "tls_key_file is not set")
}

func TestATLSURLShakesHandsFirst(t *testing.T) {
	a := newAuthority(t)
	b := setup(t, withTLS(t, a.issue(t, time.Hour), func(o *server.Options) { o.TLSHandshakeFirst = true }))
	b.set(t, "nats_url = $1, tls_ca_file = $2", strings.Replace(b.nats.URL(), "nats://", "tls://", 1), a.File)
	b.works(t)
	b.nats.Stop()
	require.NoError(t, b.nats.StartAgain())
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond,
		"it does so again when it reconnects")
}

func TestATLSURLWorksWithAServerThatGreetsInClear(t *testing.T) {
	a := newAuthority(t)
	b := setup(t, withTLS(t, a.issue(t, time.Hour)))
	b.set(t, "nats_url = $1, tls_ca_file = $2", strings.Replace(b.nats.URL(), "nats://", "tls://", 1), a.File)
	began := time.Now()
	b.works(t)
	require.Less(t, time.Since(began), quick)
}

func TestTLSThatStallsIsGivenUpInTime(t *testing.T) {
	a := newAuthority(t)
	b := setup(t, withTLS(t, a.issue(t, time.Hour)))
	line := proxy.Run(t, b.nats.URL())
	line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
		if fromServer && !strings.HasPrefix(string(piece), "INFO") {
			return proxy.Drop
		}
		return proxy.Pass
	})
	b.set(t, "nats_url = $1, tls_enabled = true, tls_ca_file = $2, connection_timeout_ms = 2000", line.URL(), a.File)
	began := time.Now()
	answer := b.publish(t)
	require.GreaterOrEqual(t, time.Since(began), 1900*time.Millisecond)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, "nats_away", answer["error_code"], "%v", answer)
	require.Contains(t, answer["error"], "timed out")
}

func TestAFileThatTheServerMayNotRead(t *testing.T) {
	b := setup(t)
	path := file(t, "ca.pem", []byte("x"))
	require.NoError(t, os.Chmod(path, 0))
	b.set(t, "tls_enabled = true, tls_ca_file = $1", path)
	b.refused(t, "configuration", "tls_ca_file: open "+path+": permission denied")
	b.set(t, "tls_enabled = false, auth_type = 'credentials', auth_credentials_file = $1", path)
	b.refused(t, "configuration", "auth_credentials_file: open "+path+": permission denied")
}
