package install

import (
	"testing"

	"github.com/stretchr/testify/require"
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

func TestADBAsGrantsSurviveAnUpdateAndADump(t *testing.T) {
	name := database(t)
	conn := connect(t, name)
	run(t, conn, "CREATE EXTENSION rule_engine VERSION '"+released()[0]+"'", "CREATE ROLE dba_friend",
		"GRANT SELECT ON rule_webhook_queue TO dba_friend", "GRANT EXECUTE ON FUNCTION rule_webhook_enqueue TO dba_friend")
	granted := func(database string) []string {
		return rows(t, connect(t, database), `SELECT has_table_privilege('dba_friend', 'rule_webhook_queue', 'SELECT'),
			has_function_privilege('dba_friend', 'rule_webhook_enqueue(integer,jsonb,text,timestamptz)', 'EXECUTE')`)
	}
	run(t, conn, "ALTER EXTENSION rule_engine UPDATE")
	require.Equal(t, []string{"t|t"}, granted(name))
	require.Equal(t, []string{"t|t"}, granted(restored(t, name, "custom")))
}
