package hazards

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
)

// Postgres writes a session's title over the strings of its arguments and its environment. Go reads
// them as they lie there, and GODEBUG among them would turn on what the build has turned off.
func TestADatabaseNameCannotSetGODEBUG(t *testing.T) {
	const injected = "GODEBUG=asyncpreemptoff=0,"
	nats := natsserver.Run(t)
	cluster := strings.Repeat("c", 40)
	b := setupOn(t, nats.URL(), postgres.Conf("cluster_name = '"+cluster+"'"))

	// The environment begins where the arguments end, so that is where the name must come to lie
	// (utils/misc/ps_status.c has the form of the title).
	arguments := read(t, fmt.Sprintf("/proc/%d/cmdline", b.Pid()))
	before := len("postgres: " + cluster + ": " + " ")
	fill := len(arguments) - before
	role := strings.Repeat("r", min(fill, 63))
	database := strings.Repeat("d", fill-len(role)) + injected
	require.LessOrEqual(t, len(database), 63, "the arguments are too long for this cluster_name")

	b.admin.do(t, "CREATE ROLE "+role+" LOGIN SUPERUSER")
	b.admin.do(t, `CREATE DATABASE "`+database+`"`)
	b.prepare(t, database, nats.URL())
	s := b.sessionIn(t, database, role)
	title := read(t, fmt.Sprintf("/proc/%d/cmdline", s.pid))
	require.Equal(t, injected, title[len(arguments):][:len(injected)], "the title lies where Go reads")

	s.publish(t, nil)
	s.fails(t, "22012", "SELECT 1 / 0")
	by := b.sessionIn(t, database, role)
	handOffs(t, by, s, 100, "")
	for _, path := range threads(t, s.pid) {
		require.True(t, signals(t, path, "SigBlk").has(syscall.SIGURG), "%s has SIGURG open: preemption is on", path)
	}

	// Postgres' own view of both is as it was.
	require.Contains(t, read(t, fmt.Sprintf("/proc/%d/cmdline", s.pid)), injected+" [local] idle")
}
