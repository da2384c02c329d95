package install

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// migrationFiles are the migrations in their order, by absolute paths.
func migrationFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(program.Repository(), "migrations", "*.sql"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// bySteps installs as users do who know migrations: the extension, then one file after the other.
func bySteps(t *testing.T, database, create string) string {
	t.Helper()
	args := []string{"--command=" + create}
	for _, file := range migrationFiles(t) {
		args = append(args, "--command=\\i "+file)
	}
	said, err := psql(database, "/", args...)
	require.NoError(t, err, said)
	return said
}

func TestBothWaysOfInstallingEndInTheSameCatalog(t *testing.T) {
	for _, schema := range []string{"", "Its 100% own"} {
		t.Run("in schema "+schema, func(t *testing.T) {
			in := ""
			if schema != "" {
				in = fmt.Sprintf(" SCHEMA %q", schema)
			}
			alone, stepwise := database(t), database(t)
			for _, name := range []string{alone, stepwise} {
				if schema != "" {
					run(t, connect(t, name), fmt.Sprintf("CREATE SCHEMA %q", schema))
				}
			}
			run(t, connect(t, alone), "CREATE EXTENSION rule_engine"+in)
			create := "CREATE EXTENSION IF NOT EXISTS rule_engine" + in
			for range 2 {
				bySteps(t, stepwise, create)
			}
			require.Equal(t, catalog(t, connect(t, alone)), catalog(t, connect(t, stepwise)))
		})
	}
}

func TestAMigrationThatIsThereSaysSoAndChangesNothing(t *testing.T) {
	name := database(t)
	conn := connect(t, name)
	run(t, conn, "CREATE EXTENSION rule_engine")
	before := rows(t, conn, "SELECT * FROM rule_engine_migrations ORDER BY migration")
	said := bySteps(t, name, "SELECT")
	for _, file := range migrationFiles(t) {
		require.Contains(t, said, "migration "+strings.TrimSuffix(filepath.Base(file), ".sql")+" is there")
	}
	require.Equal(t, before, rows(t, conn, "SELECT * FROM rule_engine_migrations ORDER BY migration"))
}

func TestAMigrationWithoutTheExtensionSaysToCreateIt(t *testing.T) {
	name := database(t)
	for _, file := range migrationFiles(t) {
		said, err := psql(name, "/", "--file="+file)
		require.Error(t, err, file)
		require.Contains(t, said, "42704")
		require.Contains(t, said, "HINT:  Run CREATE EXTENSION rule_engine")
	}
	require.Equal(t, []string{"0"}, rows(t, connect(t, name), "SELECT count(*) FROM pg_class WHERE relname LIKE 'rule%'"))
}

func TestAMigrationUpdatesAnOlderExtensionWithItsData(t *testing.T) {
	name, fresh := database(t), database(t)
	conn := connect(t, name)
	older := released()[0]
	run(t, conn, "CREATE EXTENSION rule_engine VERSION '"+older+"'",
		"SELECT rule_webhook_register('before', 'https://example.com/hook')",
		"SELECT rule_webhook_enqueue(1, '{}')")
	bySteps(t, name, "SELECT")
	require.Equal(t, []string{version()}, rows(t, conn, "SELECT extversion FROM pg_extension WHERE extname = 'rule_engine'"))
	require.Equal(t, []string{"before"}, rows(t, conn, "SELECT webhook_name FROM rule_webhooks"))
	require.Equal(t, []string{"pending"}, rows(t, conn, "SELECT status FROM rule_webhook_queue"))
	require.Equal(t, []string{older, version()}, rows(t, conn, "SELECT DISTINCT version FROM rule_engine_migrations ORDER BY 1"))
	other := connect(t, fresh)
	run(t, other, "CREATE EXTENSION rule_engine")
	require.Equal(t, catalog(t, other), catalog(t, conn))
}

func TestAMigrationNewerThanTheInstalledFilesIsAnError(t *testing.T) {
	name := database(t)
	run(t, connect(t, name), "CREATE EXTENSION rule_engine")
	first, err := os.ReadFile(migrationFiles(t)[0])
	require.NoError(t, err)
	newer := strings.Replace(string(first), "'001_initial_schema'", "'999_newer'", 1)
	said, err := psql(name, "/", "--command="+newer[:strings.Index(newer, `\if false`)])
	require.Error(t, err)
	require.Contains(t, said, "55000")
	require.Contains(t, said, "HINT:  Install the version that this migration belongs to")
}

func TestMigrationsDifferFromEachOtherInNoMoreThanTheirNameWhenPsqlRunsThem(t *testing.T) {
	var all []string
	for _, file := range migrationFiles(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		part, body, found := strings.Cut(string(text), "\\if false\n")
		require.True(t, found, file)
		require.True(t, strings.HasSuffix(body, "\n\\endif\n"), file)
		all = append(all, strings.Replace(part, "'"+strings.TrimSuffix(filepath.Base(file), ".sql")+"'", "''", 1))
	}
	for _, part := range all {
		require.Equal(t, all[0], part)
	}
}
