package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

func TestTheReferenceNamesEveryObjectThatUsersSee(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(program.Repository(), "docs", "sql-reference.md"))
	require.NoError(t, err)
	conn := connect(t, database(t))
	run(t, conn, "CREATE EXTENSION rule_engine")
	const member = `JOIN pg_depend d ON d.objid = o.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'rule_engine'`
	objects := rows(t, conn, `SELECT o.proname FROM pg_proc o `+member+` AND d.classid = 'pg_proc'::regclass WHERE o.proname NOT LIKE '\_%'
		UNION SELECT o.relname FROM pg_class o `+member+` AND d.classid = 'pg_class'::regclass WHERE o.relkind IN ('r', 'p', 'v')
			AND NOT o.relispartition AND o.relname NOT LIKE '\_%'`)
	require.Greater(t, len(objects), 60)
	for _, name := range objects {
		require.True(t, strings.Contains(string(page), "`"+name+"`") || strings.Contains(string(page), "`"+name+"("), "docs/sql-reference.md does not name %s", name)
	}
	// Argument names are part of the interface.
	for _, argument := range rows(t, conn, `SELECT DISTINCT o.proname || ' ' || a.name FROM pg_proc o `+member+` AND d.classid = 'pg_proc'::regclass
		CROSS JOIN LATERAL unnest(o.proargnames[1:o.pronargs]) AS a (name) WHERE o.proname NOT LIKE '\_%' AND o.proname NOT LIKE 'rule\_worker\_%'`) {
		function, name, _ := strings.Cut(argument, " ")
		signature := string(page)[strings.Index(string(page), "`"+function+"("):]
		signature = signature[:strings.Index(signature, ")`")]
		require.Contains(t, signature, name, "the signature of %s", function)
	}
}
