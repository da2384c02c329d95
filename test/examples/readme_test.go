package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/page"
	"rule_engine/test/postgres"
	"rule_engine/test/program"
)

// The README says how to prepare a database, run the scripts and take it all away; nothing is left then.
func TestTheReadmeOfTheExamplesDoesWhatItSays(t *testing.T) {
	t.Parallel()
	own := postgres.Run(t) // it makes a role
	conn := own.Connect(t, "postgres", superuser)
	count := func(sql string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&n), sql)
		return n
	}
	const objects = `SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')`
	const functions = `SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')`

	sql, err := page.Blocks(folder+"/README.md", "sql")
	require.NoError(t, err)
	require.Len(t, sql, 2)
	commands, err := page.Blocks(folder+"/README.md", "sh")
	require.NoError(t, err)
	require.Len(t, commands, 1)
	psql := func(block page.Block) {
		said, err := own.Psql("postgres", superuser, program.Repository(), "--command="+block.Code)
		require.NoError(t, err, said)
	}
	for range 2 {
		if count("SELECT count(*) FROM pg_roles WHERE rolname = 'example_dba'") == 0 {
			psql(sql[0])
		}
		run := exec.Command("sh", "-e", "-c", commands[0].Code)
		run.Dir = program.Repository()
		run.Env = []string{"PATH=" + filepath.Join(own.Tree, "bin") + ":" + os.Getenv("PATH"), "PGHOST=" + own.Socket(),
			fmt.Sprintf("PGPORT=%d", own.Port), "PGDATABASE=postgres", "NATS_URL=" + natsserver.Run(t).URL()}
		said, err := run.CombinedOutput()
		require.NoError(t, err, string(said))
		require.NotContains(t, string(said), outage)
		require.Equal(t, 5, count(objects))
		require.Equal(t, 7, count(functions))
		psql(sql[1])
		require.Zero(t, count(objects))
		require.Zero(t, count(functions))
		require.Zero(t, count("SELECT count(*) FROM rule_webhooks"))
	}
}
