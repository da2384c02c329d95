// Package cluster publishes through three NATS servers and a stream with three replicas while they
// fail.
package cluster

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
)

// bundle is a system on three servers, with a stream of three replicas.
type bundle struct {
	*system.System
	nats    *natsserver.Cluster
	admin   *pgx.Conn
	webhook int32
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{nats: natsserver.RunCluster(t, 3)}
	b.System = system.RunWith(t, b.nats.URL())
	b.admin = b.Postgres.Connect(t, system.Database, system.Administrator)
	var err error
	b.webhook, err = b.Register(t.Context(), b.admin, "orders", "nats")
	require.NoError(t, err)
	_, err = b.admin.Exec(t.Context(), "UPDATE rule_nats_streams SET replicas = 3")
	require.NoError(t, err)
	var made string
	require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT rule_nats_init() #>> '{streams,0,state}'").Scan(&made))
	require.Equal(t, "created", made)
	require.NoError(t, b.nats.Whole(system.Stream))
	return b
}
