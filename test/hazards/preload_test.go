package hazards

import (
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

// A process that is forked from one in which Go runs has its memory and none of its threads. So Go
// must never start in the postmaster.
func TestAPreloadedLibraryStartsNoGoInThePostmaster(t *testing.T) {
	nats := natsserver.Run(t)
	b := setupOn(t, nats.URL(), postgres.Conf("shared_preload_libraries = 'rule_engine'"))
	s := b.session(t)
	var success bool
	var answer string
	require.NoError(t, s.publishing(nil, &success, &answer), "a publish under a preloaded library")
	require.True(t, success, answer)
	require.True(t, mapsGo(t, s.pid))
	require.Empty(t, threads(t, b.Pid()), "threads of the postmaster")
	require.False(t, mapsGo(t, b.Pid()), "Go is mapped into the postmaster")

	require.NoError(t, syscall.Kill(s.pid, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		return b.admin.try("SELECT 1") != nil
	}, patience, 10*time.Millisecond, "the others are ended")
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), b.DSN("postgres", "postgres"))
		if err == nil {
			_ = conn.Close(t.Context())
		}
		return err == nil
	}, patience, 20*time.Millisecond, "the server comes back")
	b.admin = b.session(t)
	s = b.sessionWithGo(t)
	s.fails(t, "22012", "SELECT 1 / 0")
	handOffs(t, b.admin, s, 20, "")
	require.Empty(t, threads(t, b.Pid()))
}
