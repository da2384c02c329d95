package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// golden reads a file that the workers' own tests read, too.
func golden(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(program.Repository(), "test", "golden", name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func TestNoAddressInsideIsDialled(t *testing.T) {
	var g struct {
		Refused []struct{ Address, Kind string }
	}
	golden(t, "addresses", &g)
	require.NotEmpty(t, g.Refused)
	open := netip.MustParsePrefix("127.0.0.0/16")
	for _, c := range g.Refused {
		address := netip.MustParseAddr(c.Address)
		if address.Zone() != "" || open.Contains(address.Unmap()) {
			continue // no URL of a webhook has a zone; the suite opens 127.0.0.0/16
		}
		t.Run(c.Address, func(t *testing.T) {
			t.Parallel()
			got := aHook(t, "http://"+net.JoinHostPort(c.Address, shared.inside.port())+"/").once()
			refused(t, got)
			require.Contains(t, got.error(), "is refused ("+c.Kind+")")
		})
	}
}

// spellings are of an address inside, or may be taken for one.
var spellings = map[string]string{
	"as usual":           "127.1.0.1",
	"a dot behind":       "127.1.0.1.",
	"decimal":            "2130771969",
	"octal":              "017700200001",
	"hex":                "0x7f010001",
	"octal in parts":     "0177.01.0.01",
	"hex in parts":       "0x7f.0x1.0x0.0x1",
	"mixed":              "0x7f.1.0.01",
	"two parts":          "127.65537",
	"three parts":        "127.1.1",
	"more than it holds": "6425739265",
	"mapped":             "[::ffff:127.1.0.1]",
	"mapped, hex":        "[::ffff:7f01:1]",
	"mapped, in full":    "[0:0:0:0:0:ffff:7f01:0001]",
	"compatible":         "[::127.1.0.1]",
	"NAT64":              "[64:ff9b::127.1.0.1]",
	"6to4":               "[2002:7f01:1::]",
	"user info":          "user:hunter2@127.1.0.1",
	"a host as user":     "example.com@127.1.0.1",
	"a host as password": "example.com:80@127.1.0.1",
	"wide digits":        "\uff11\uff12\uff17.1.0.1",
	"digits in circles":  "\u2460\u2461\u2466.\u2460.\u24ea.\u2460",
	"wide dots":          "127\u30021\u30020\u30021",
	"escaped":            "%31%32%37.1.0.1",
	"an escaped dot":     "127%2e1.0.1",
	"a leading dot":      ".127.1.0.1",
}

func TestNoSpellingOfAnAddressInsideIsDialled(t *testing.T) {
	for name, host := range spellings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shared.admin.restored(t, fmt.Sprintf("http://%s:%s/hunter2", host, shared.inside.port())).once()
			require.Nil(t, got.Status)
			require.Equal(t, "again", got.Outcome)
			require.NotEmpty(t, got.error())
			require.NotContains(t, got.error(), "hunter2")
			require.Zero(t, shared.inside.reached.Load())
		})
	}
}

// What SQL refuses never comes to a worker.
func TestNoWebhookHasAURLThatTwoMayReadInTwoWays(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:0/", "http://[fe80::1%25eth0]/", "http://a\\@127.1.0.1/", "http://a b/",
		"http:///x", "http://127.1.0.1:65536/", "ftp://127.1.0.1/", "http://a\n/", "http://%31%32%37.1.0.1/", "http://a/%zz"} {
		shared.admin.mu.Lock()
		_, err := shared.admin.conn.Exec(t.Context(), "SELECT rule_webhook_register($1, $2)", t.Name(), url)
		shared.admin.mu.Unlock()
		require.Error(t, err, "%q", url)
	}
}

func TestAURLThatCannotBeReadIsAFailureAndIsNotShown(t *testing.T) {
	for _, path := range []string{"/%zzhunter2", "/%hunter2", "/hunter2%"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			got := shared.admin.restored(t, s.url+path).once()
			refused(t, got)
			require.NotContains(t, got.error(), "hunter2")
			require.Zero(t, s.connections.Load())
		})
	}
}

func TestUserInfoTravelsAsBasicAuthAndNotInTheRequestLine(t *testing.T) {
	for written, sent := range map[string]string{"u:p%40": "u:p@", "u%FC:%ff%C3%A9": "u\xfc:\xff\u00e9"} {
		t.Run(written, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			got := aHook(t, strings.Replace(s.url, "http://", "http://"+written+"@", 1)+"/hook").once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			r := s.got()[0]
			user, password, basic := r.BasicAuth()
			require.True(t, basic)
			require.Equal(t, sent, user+":"+password)
			require.Equal(t, "/hook", r.RequestURI)
			require.Equal(t, strings.TrimPrefix(s.url, "http://"), r.Host)
		})
	}
}
