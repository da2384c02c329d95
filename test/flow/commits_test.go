package flow

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// commitsWait has commits wait for a standby that does not exist until commitsGoOn, but for those of the bundle's own sessions.
func (b *bundle) commitsWait(t *testing.T) {
	t.Helper()
	for _, own := range []*pgx.Conn{b.admin, b.application} {
		_, err := own.Exec(t.Context(), "SET synchronous_commit = local")
		require.NoError(t, err)
	}
	b.must(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	b.must(t, "SELECT pg_reload_conf()")
	// They wait once the checkpointer has read it, too (SyncRepUpdateSyncStandbysDefined).
	probe := b.Postgres.Connect(t, system.Database, system.Application)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			_, _ = probe.Exec(ctx, "SELECT pg_logical_emit_message(true, '', '')")
		}
	}()
	b.count(t, 1, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", probe.PgConn().PID())
}

func (b *bundle) commitsGoOn(t *testing.T) {
	t.Helper()
	b.must(t, "ALTER SYSTEM RESET synchronous_standby_names")
	b.must(t, "SELECT pg_reload_conf()")
}
