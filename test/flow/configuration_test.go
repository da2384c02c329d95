package flow

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

func TestWhatNoWaitingWillMendEndsAWorkerAtTheStart(t *testing.T) {
	b := setup(t)
	with := func(parameter string) string { return b.bareDatabase() + "?" + parameter }
	pairs := fmt.Sprintf("DATABASE_URL=host=127.0.0.1 port=%d dbname=%s user=%s ", b.Postgres.Port, system.Database, system.Carrier)
	for _, c := range []struct{ env, variable, says, saysNot string }{
		{with("sslmod=disable"), "DATABASE_URL", `"sslmod"`, ""},
		{with("search_pat=x"), "DATABASE_URL", `"search_pat"`, ""},
		{with("timezone=Nowhere"), "DATABASE_URL", "Nowhere", ""},
		{with("sslmode=require"), "DATABASE_URL", "TLS", ""},
		{pairs + "search_pat=x", "DATABASE_URL", `"search_pat"`, ""},
		// What a password that was not quoted ends in may be secret.
		{pairs + "password=my hunter2=x", "DATABASE_URL", "42704", "hunter2"},
		{"DATABASE_URL=" + b.databaseAt(refusingPooler(t)), "DATABASE_URL", `"search_path"`, ""},
		{"NATS_URL=" + strings.Replace(b.NATSURL(), "nats://", "tls://", 1), "NATS_URL", "no TLS", ""},
	} {
		line := refuses(t, b.worker(t, c.env), c.variable)
		require.Contains(t, line, c.says)
		if c.saysNot != "" {
			require.NotContains(t, line, c.saysNot)
		}
	}
}

// bareDatabase leaves it to the worker whether there is TLS.
func (b *bundle) bareDatabase() string {
	url, _, _ := strings.Cut(b.Postgres.URL(system.Database, system.Carrier), "?")
	return "DATABASE_URL=" + url
}

// refusingPooler answers as pgbouncer does where it does not know a parameter.
func refusingPooler(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	fields := "SFATAL\x00VFATAL\x00C08P01\x00Munsupported startup parameter: \"search_path\"\x00\x00"
	answer := append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields))), fields...)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = client.Read(make([]byte, 1024))
			_, _ = client.Write(answer)
			_ = client.Close()
		}
	}()
	return listener.Addr().String()
}

func TestAWorkerWaitsForAServerThatRefusesForAWhile(t *testing.T) {
	b := setup(t)
	id := b.webhook(t, "orders", "nats")
	// As it does while it starts up. It has no TLS, which sslmode=prefer tries first.
	b.must(t, "ALTER ROLE "+system.Carrier+" CONNECTION LIMIT 0")
	w := b.worker(t, b.bareDatabase())
	require.Eventually(t, func() bool { return strings.Contains(w.Log(), "waiting for postgres") }, patience, 20*time.Millisecond, w.Log())
	b.must(t, "ALTER ROLE "+system.Carrier+" CONNECTION LIMIT -1")
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	require.True(t, w.Running())
}

func TestOfNATSURLOnlyTheServerIsLogged(t *testing.T) {
	t.Parallel()
	const token = "hunter2"
	nats := natsserver.Run(t, func(o *server.Options) { o.Authorization = token })
	url := strings.Replace(nats.URL(), "nats://", "nats://"+token+"@", 1)
	b := bundleOf(t, system.RunWith(t, url))
	id := b.webhook(t, "orders", "nats")
	w := b.worker(t)
	published(t, b.application, id, "first")
	b.arrived(t, "first")
	require.Contains(t, w.Log(), fmt.Sprintf("server=127.0.0.1:%d", nats.Port))
	require.NotContains(t, w.Log(), token)
}
