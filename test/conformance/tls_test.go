package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/certificate"
	"rule_engine/test/scratch"
)

// withCertificate is a server's configuration with a certificate that the authority has signed.
func withCertificate(t *testing.T, a *certificate.Authority, valid time.Duration, change ...func(*x509.Certificate)) *tls.Config {
	t.Helper()
	p, err := a.Issue(valid, change...)
	require.NoError(t, err)
	loaded, err := p.Load()
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{loaded}}
}

func TestTLSWithATrustedCertificate(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, withCertificate(t, shared.authority, time.Hour), says(ok))
	got := aHook(t, s.url).once()
	require.Equal(t, "delivered", got.Outcome, got.error())
	require.Len(t, s.got(), 1)
}

func TestACertificateThatProvesNothingEndsTheTryBeforeTheRequest(t *testing.T) {
	stranger, err := certificate.NewAuthority(scratch.For(t, "stranger"))
	require.NoError(t, err)
	for name, config := range map[string]*tls.Config{
		"expired":          withCertificate(t, shared.authority, -time.Minute),
		"not valid yet":    withCertificate(t, shared.authority, 2*time.Hour, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		"another address":  withCertificate(t, shared.authority, time.Hour, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }),
		"a name alone":     withCertificate(t, shared.authority, time.Hour, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"127.0.0.1"} }),
		"for clients only": withCertificate(t, shared.authority, time.Hour, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		"of a stranger":    withCertificate(t, stranger, time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, config, says(ok))
			refused(t, aHook(t, s.url).once())
			require.Empty(t, s.got())
		})
	}
}

// refused is a try that failed by itself, and told why.
func refused(t *testing.T, got attempt) {
	t.Helper()
	require.Nil(t, got.Status)
	require.Equal(t, "again", got.Outcome)
	require.NotEmpty(t, got.error())
	require.NotContains(t, got.error(), "no whole answer")
}

func TestWhatIsNoTLSIsAFailure(t *testing.T) {
	for name, answer := range map[string]string{"plain HTTP": ok, "garbage": "\x16\x03\x01\x00", "an alert": "\x15\x03\x03\x00\x02\x02\x28"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := bare(t, func(c net.Conn) { _, _ = io.WriteString(c, answer) })
			refused(t, aHook(t, url).once())
		})
	}
	t.Run("a version of old", func(t *testing.T) {
		t.Parallel()
		config := withCertificate(t, shared.authority, time.Hour)
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		s := serveTLS(t, config, says(ok))
		refused(t, aHook(t, s.url).once())
		require.Empty(t, s.got())
	})
}

func TestTheDeadlineSpansAHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	url := bare(t, func(c net.Conn) {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	})
	got := aHook(t, url, aShortTimeout).once()
	require.Equal(t, tooLate, got.error())
	require.Less(t, got.Duration, soon)
	await(t, ended)
}

// bare is a URL of https behind which one connection is taken and talk says what it likes, once asked.
func bare(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 4096))
		talk(c)
	}()
	return "https://" + l.Addr().String()
}

// offered keeps what clients offer to speak.
func offered(config *tls.Config, refuse bool) (*tls.Config, <-chan []string) {
	protocols := make(chan []string, 8)
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		protocols <- hello.SupportedProtos
		if refuse && !slices.Contains(hello.SupportedProtos, "h2") {
			return nil, errors.New("h2 alone")
		}
		return nil, nil
	}
	return config, protocols
}

// Requests are HTTP/1.1, whatever else an endpoint would speak: clients repeat those of HTTP/2 by rules
// of their own.
func TestARequestIsOfHTTP11WhateverTheEndpointSpeaks(t *testing.T) {
	for name, offer := range map[string][]string{"both": {"h2", "http/1.1"}, "HTTP/1.1": {"http/1.1"}, "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, protocols := offered(withCertificate(t, shared.authority, time.Hour), false)
			config.NextProtos = offer
			s := serveTLS(t, config, says(ok))
			got := aHook(t, s.url).once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			require.Equal(t, []string{"http/1.1"}, <-protocols)
			require.Equal(t, "HTTP/1.1", s.got()[0].Proto)
		})
	}
}

func TestAnEndpointOfHTTP2AloneGetsOneRequestAtMost(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	const goAway = "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	const refusedStream = "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x07"
	for name, frames := range map[string]string{"GOAWAY": settings + goAway, "REFUSED_STREAM": settings + refusedStream, "SETTINGS alone": settings} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := withCertificate(t, shared.authority, time.Hour)
			s := serveTLS(t, config, says(frames))
			refused(t, aHook(t, s.url).once())
			require.Len(t, s.got(), 1)
			require.EqualValues(t, 1, s.connections.Load())
		})
	}
	t.Run("refused in the handshake", func(t *testing.T) {
		t.Parallel()
		config, _ := offered(withCertificate(t, shared.authority, time.Hour), true)
		s := serveTLS(t, config, says(ok))
		refused(t, aHook(t, s.url).once())
		require.Empty(t, s.got())
	})
	t.Run("without TLS", func(t *testing.T) {
		t.Parallel()
		s := serve(t, says(settings+goAway))
		refused(t, aHook(t, s.url).once())
		require.Len(t, s.got(), 1)
		require.NotContains(t, strings.ToLower(s.got()[0].Header.Get("Connection")), "upgrade")
	})
}
