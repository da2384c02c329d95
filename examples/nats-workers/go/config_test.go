package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func environment(pairs ...string) func(string) string {
	env := map[string]string{"DATABASE_URL": "postgres://worker:hunter2@localhost/app"}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return env[name] }
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	c, err := readConfig(environment())
	require.NoError(t, err)
	require.Equal(t, "nats://127.0.0.1:4222", c.natsURL)
	require.Equal(t, "WEBHOOKS", c.stream)
	require.Equal(t, "webhook-workers", c.group)
	require.Equal(t, "webhooks.>", c.subject)
	require.Equal(t, 64, c.batch)
	require.NotEmpty(t, c.consumer)
	require.Empty(t, c.allow)
	require.Nil(t, c.proxy)
	require.True(t, c.doStream)
	require.True(t, c.doQueue)
	require.Empty(t, c.metricsAddr)
	require.False(t, c.logJSON)
	require.Equal(t, slog.LevelInfo, c.logLevel)
}

func TestAQueueWorkerNeedsNoNATS(t *testing.T) {
	c, err := readConfig(environment("WORKER_SOURCES", "queue"))
	require.NoError(t, err)
	require.Empty(t, c.natsURL)
	require.False(t, c.doStream)
}

func TestAWrongConfigurationIsOneLineThatNamesTheVariable(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(notPEM, []byte("no certificate"), 0o600))
	const digits = "12345678" // a password that looks like a port
	for _, c := range [][]string{
		{"DATABASE_URL", "DATABASE_URL", ""},
		{"DATABASE_URL", "DATABASE_URL", "postgres://u:hunter2%zz@h/d"},
		{"DATABASE_URL", "DATABASE_URL", "host=h password=hunter2 port=many"},
		{"DATABASE_URL", "DATABASE_URL", "postgres://u:hunter2@h/d?sslrootcert=/no/such/file&sslmode=verify-full"},
		{"DATABASE_URL", "DATABASE_URL", "postgres://u:12@hunter2@h/d"},
		{"DATABASE_URL", "DATABASE_URL", "postgres://u:12/hunter2@h/d"},
		{"DATABASE_URL", "DATABASE_URL", "postgres://u:12?hunter2@h/d"},
		{"DATABASE_URL", "DATABASE_URL", "postgresql://u:12#hunter2@h/d"},
		{"NATS_URL", "NATS_URL", "http://h:4222"},
		{"NATS_URL", "NATS_URL", "hunter2://h:4222"},
		{"NATS_URL", "NATS_URL", "u:hunter2://x@h:4222"},
		{"NATS_URL", "NATS_URL", "nats://u:hunter2"},
		{"NATS_URL", "NATS_URL", "nats://u:" + digits},
		{"NATS_URL", "NATS_URL", "u:" + digits},
		{"NATS_URL", "NATS_URL", "nats://h:4222,u:" + digits + "/"},
		{"NATS_URL", "NATS_URL", "nats://u:12/hunter2@h:4222"},
		{"NATS_URL", "NATS_URL", "nats://u:12?hunter2@h:4222"},
		{"NATS_URL", "NATS_URL", "nats://u:12#hunter2@h:4222"},
		{"NATS_URL", "NATS_URL", "nats://h:4222,ws://h:8080"},
		{"NATS_URL", "NATS_URL", "nats://u:hunter2@"},
		{"NATS_URL", "NATS_URL", "nats://a:4222,nats://"},
		{"NATS_URL", "NATS_URL", ","},
		{"NATS_URL", "NATS_URL", "nats://h:99999"},
		{"NATS_URL", "NATS_URL", "nats://a:4222,nats://u:hunter2@h:0"},
		{"NATS_PASS", "NATS_USER", "u"},
		{"NATS_USER", "NATS_PASS", "hunter2"},
		{"NATS_TOKEN", "NATS_TOKEN", "hunter2", "NATS_USER", "u", "NATS_PASS", "p"},
		{"NATS_CREDS", "NATS_CREDS", "/no/such/file"},
		{"NATS_CREDS", "NATS_CREDS", "hunter2"},
		{"NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED_FILE", "hunter2"},
		{"NATS_CA", "NATS_CA", "hunter2"},
		{"NATS_CERT", "NATS_CERT", "hunter2", "NATS_KEY", "hunter2"},
		{"NATS_CREDS", "NATS_CREDS", notPEM},
		{"NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED_FILE", notPEM},
		{"NATS_CA", "NATS_CA", "/no/such/file"},
		{"NATS_CA", "NATS_CA", notPEM},
		{"NATS_KEY", "NATS_CERT", "/c"},
		{"NATS_CERT", "NATS_KEY", "/k"},
		{"NATS_CERT", "NATS_CERT", notPEM, "NATS_KEY", notPEM},
		{"STREAM_NAME", "STREAM_NAME", "a.b"},
		{"STREAM_NAME", "STREAM_NAME", "a b"},
		{"QUEUE_GROUP", "QUEUE_GROUP", "a*"},
		{"QUEUE_GROUP", "QUEUE_GROUP", "a/b"},
		{"STREAM_NAME", "STREAM_NAME", "a\xff"},
		{"STREAM_NAME", "STREAM_NAME", strings.Repeat("s", 256)},
		{"QUEUE_GROUP", "QUEUE_GROUP", "a\xff"},
		{"QUEUE_GROUP", "QUEUE_GROUP", "a\u200b"},
		{"QUEUE_GROUP", "QUEUE_GROUP", strings.Repeat("g", 256)},
		{"SUBJECT", "SUBJECT", "a.\xff"},
		{"SUBJECT", "SUBJECT", "a..b"},
		{"SUBJECT", "SUBJECT", "a.>.b"},
		{"SUBJECT", "SUBJECT", "a.b*"},
		{"SUBJECT", "SUBJECT", "a b"},
		{"CONSUMER_NAME", "CONSUMER_NAME", "a\nb"},
		{"CONSUMER_NAME", "CONSUMER_NAME", " a"},
		{"CONSUMER_NAME", "CONSUMER_NAME", "a\u00a0"},
		{"CONSUMER_NAME", "CONSUMER_NAME", "a\xff"},
		{"CONSUMER_NAME", "CONSUMER_NAME", strings.Repeat("n", 256)},
		{"BATCH_SIZE", "BATCH_SIZE", "0"},
		{"BATCH_SIZE", "BATCH_SIZE", "1001"},
		{"BATCH_SIZE", "BATCH_SIZE", "many"},
		{"WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "10.0.0.0"},
		{"WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/8;::1/128"},
		{"WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "::ffff:0:0/95"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "https://u:hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "socks5://u:hunter2@h:1080"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "u:hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "hunter2:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http:u:hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12/hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12?hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12#hunter2@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2%zz@h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h:0"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h:65536"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h h:3128"},
		{"WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:" + digits},
		{"WORKER_SOURCES", "WORKER_SOURCES", "stream;queue"},
		{"METRICS_ADDR", "METRICS_ADDR", "9464"},
		{"METRICS_ADDR", "METRICS_ADDR", "127.0.0.1:http"},
		{"METRICS_ADDR", "METRICS_ADDR", ":70000"},
		{"LOG_FORMAT", "LOG_FORMAT", "xml"},
		{"LOG_LEVEL", "LOG_LEVEL", "loud"},
	} {
		t.Run(strings.Join(c[1:], " "), func(t *testing.T) {
			_, err := readConfig(environment(c[1:]...))
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), c[0]+": "), "%q must name %s first", err, c[0])
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), digits)
			require.Equal(t, 2, run(environment(c[1:]...)))
		})
	}
}

func TestAURLOfTheDatabaseMayHoldWhatIsEscaped(t *testing.T) {
	for _, url := range []string{
		"postgres://u:p%40ss%2F%3F%23@h:5433/app?application_name=a@b&search_path=rules",
		"postgresql://u%40srv:p@h:5433/app%40?sslmode=disable",
		"postgres:///app?host=/run/pg&port=5433&user=u@srv&password=p%23/",
		"host=h port=5433 dbname=a@b password='a/b?c#d'",
	} {
		c, err := readConfig(environment("DATABASE_URL", url))
		require.NoError(t, err, url)
		require.EqualValues(t, 5433, c.database.ConnConfig.Port, url)
	}
}

func TestCredentialsWithAKeyAreTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "user.creds")
	require.NoError(t, os.WriteFile(file, []byte("-----BEGIN NATS USER JWT-----\neyJ0eXAi.eyJqdGki.c2ln\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\nSUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n------END USER NKEY SEED------\n"), 0o600))
	c, err := readConfig(environment("NATS_CREDS", file))
	require.NoError(t, err)
	require.Len(t, c.natsAuth, 1)
}

func TestANetworkOfMappedAddressesOpensThemAsIPv4(t *testing.T) {
	c, err := readConfig(environment("WEBHOOK_ALLOW_NETWORKS", "::ffff:10.0.0.0/104, ::ffff:7f00:1/128,::/0"))
	require.NoError(t, err)
	g := guard{c.allow}
	for _, address := range []string{"10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::1"} {
		require.NoError(t, g.check(netip.MustParseAddr(address)), address)
	}
	for _, address := range []string{"127.0.0.2", "::ffff:172.16.0.1"} {
		require.Error(t, g.check(netip.MustParseAddr(address)), address)
	}
}

func TestAProxyHasAnAddressAndCredentials(t *testing.T) {
	for text, address := range map[string]string{
		"http://proxy.corp:3128": "proxy.corp:3128", "HTTP://proxy.corp/": "proxy.corp:80", " http://[::1]:3128/ ": "[::1]:3128",
	} {
		c, err := readConfig(environment("WEBHOOK_PROXY", text, "HTTP_PROXY", "http://another:1"))
		require.NoError(t, err, text)
		require.Equal(t, address, c.proxy.address)
		require.Empty(t, c.proxy.header["Proxy-Authorization"])
	}
	for text, credentials := range map[string]string{
		"http://u:p%40%2F%3A@h:1": "Basic dTpwQC86", "http://u@h:1": "Basic dTo=", "http://u:p@ss@h:1": "Basic dTpwQHNz", "http://u%FF:p@h:1": "Basic df86cA==",
	} {
		c, err := readConfig(environment("WEBHOOK_PROXY", text))
		require.NoError(t, err, text)
		require.Equal(t, []string{credentials}, c.proxy.header["Proxy-Authorization"])
	}
}

func TestNamesMayHaveAnyLettersAndAConsumerSpaces(t *testing.T) {
	c, err := readConfig(environment("CONSUMER_NAME", "Wörker 1", "QUEUE_GROUP", "größe-1", "NATS_URL", "a:1, b:65535,"))
	require.NoError(t, err)
	require.Equal(t, "Wörker 1", c.consumer)
}
