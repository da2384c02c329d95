package settings

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/certificate"
)

type authority struct{ *certificate.Authority }

func newAuthority(t *testing.T) authority {
	t.Helper()
	a, err := certificate.NewAuthority(folder(t))
	require.NoError(t, err)
	return authority{a}
}

func (a authority) issue(t *testing.T, valid time.Duration, change ...func(*x509.Certificate)) certificate.Pair {
	t.Helper()
	p, err := a.Issue(valid, change...)
	require.NoError(t, err)
	return p
}

func load(t *testing.T, p certificate.Pair) tls.Certificate {
	t.Helper()
	loaded, err := p.Load()
	require.NoError(t, err)
	return loaded
}

// folder is one that the server's user can enter.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "settings")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}
