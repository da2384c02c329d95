package install

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
)

// openToPublic are the objects of the extension that PUBLIC may do something with.
const openToPublic = `SELECT pg_describe_object(d.classid, d.objid, 0)
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine' AND d.deptype = 'e'
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, c.relacl, CASE WHEN p.oid IS NOT NULL THEN acldefault('f', p.proowner) END)) a
	WHERE a.grantee = 0`

func TestPublicGetsNothingAlsoWhereTheDatabaseIsGenerousByDefault(t *testing.T) {
	name := database(t)
	conn := connect(t, name)
	run(t, conn, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC",
		"CREATE EXTENSION rule_engine VERSION '"+released()[0]+"'")
	require.Empty(t, rows(t, conn, openToPublic))
	run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
	require.Empty(t, rows(t, conn, openToPublic))
}

// granted are the tables and functions of the extension that a DBA's own role was given.
const granted = `SELECT CASE WHEN p.oid IS NOT NULL THEN p.oid::regprocedure::text ELSE c.oid::regclass::text END
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine' AND d.deptype = 'e'
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, c.relacl)) a
	WHERE a.grantee = 'dba_friend'::regrole ORDER BY 1`

func TestADBAsGrantsSurviveAnUpdateAndADump(t *testing.T) {
	name := database(t)
	conn := connect(t, name)
	run(t, conn, "CREATE EXTENSION rule_engine VERSION '"+released()[0]+"'", "CREATE ROLE dba_friend",
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO dba_friend",
		`DO $$
		DECLARE f regprocedure;
		BEGIN
			FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' WHERE p.proname LIKE 'rule%' LOOP
				EXECUTE 'GRANT EXECUTE ON FUNCTION ' || f || ' TO dba_friend';
			END LOOP;
		END $$`)
	before := rows(t, conn, granted)
	require.Greater(t, len(before), 50)
	run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
	require.Equal(t, before, rows(t, conn, granted))
	require.Equal(t, before, rows(t, connect(t, restored(t, name, "custom")), granted))
}

func TestAnUpdateSaysThatTheRolesAreToBeGrantedTheirPartAgain(t *testing.T) {
	name := database(t)
	run(t, connect(t, name), "CREATE EXTENSION rule_engine VERSION '"+released()[0]+"'")
	said, err := psql(name, "/", "--command=ALTER EXTENSION rule_engine UPDATE")
	require.NoError(t, err)
	require.Contains(t, said, "SELECT rule_engine_create_roles() again")
	said, err = psql(name, "/", "--command=ALTER EXTENSION rule_engine UPDATE")
	require.NoError(t, err)
	require.NotContains(t, said, "rule_engine_create_roles")
}

func TestTwoDatabasesMakeTheRolesAtTheSameMoment(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			shared := cluster
			t.Cleanup(func() { cluster = shared })
			cluster = postgres.Run(t)
			first, second := connect(t, database(t)), connect(t, database(t))
			run(t, first, "CREATE EXTENSION rule_engine", "BEGIN", "SELECT rule_engine_create_roles()")
			run(t, second, "CREATE EXTENSION rule_engine")
			pid := rows(t, second, "SELECT pg_backend_pid()")[0]
			waited := make(chan error, 1)
			go func() {
				_, err := second.Exec(t.Context(), "SELECT rule_engine_create_roles()")
				waited <- err
			}()
			require.Eventually(t, func() bool {
				return len(rows(t, first, fmt.Sprintf("SELECT FROM pg_locks WHERE pid = %s AND NOT granted", pid))) == 1
			}, time.Minute, 10*time.Millisecond)
			run(t, first, end)
			require.NoError(t, <-waited)
			require.Empty(t, rows(t, second, "SELECT rule_engine_create_roles()"))
			require.Equal(t, []string{"t"}, rows(t, second,
				"SELECT has_function_privilege('rule_engine_worker', 'rule_worker_hello(text,text,text,text[],text[])', 'EXECUTE')"))
		})
	}
}
