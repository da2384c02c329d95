package settings

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

func TestAWebSocketURL(t *testing.T) {
	b := setup(t, func(o *server.Options) {
		o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true}
	})
	b.set(t, "nats_url = $1", b.nats.WebsocketURL())
	b.works(t)
	require.Equal(t, true, b.health(t)["connected"])
}

func TestAWebSocketURLWithTLS(t *testing.T) {
	a := newAuthority(t)
	certificate := load(t, a.issue(t, time.Hour))
	b := setup(t, func(o *server.Options) {
		o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	})
	b.set(t, "nats_url = $1", b.nats.WebsocketURL())
	b.refused(t, "configuration", "tls_ca_file is not set")
	b.set(t, "tls_ca_file = $1", a.File)
	b.works(t)
}
