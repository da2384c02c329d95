// Package install tests how the extension gets into a database, and out of one into another.
package install

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

// cluster is shared: a test has databases of its own in it.
var cluster *postgres.Cluster

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := scratch.Make("install")
		if err != nil {
			return fail(err)
		}
		defer dir.Remove()
		if err := treeWithReleased(filepath.Join(dir.Path, "pg")); err != nil {
			return fail(err)
		}
		if cluster, err = postgres.Start(); err != nil {
			return fail(err)
		}
		code := m.Run()
		if err := cluster.Remove(); err != nil {
			return fail(err)
		}
		return code
	}())
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// treeWithReleased copies the tree that PGROOT names, adds the install scripts of released versions to
// it, and lets PGROOT name the copy.
func treeWithReleased(tree string) error {
	from, err := postgres.Tree()
	if err != nil {
		return err
	}
	if _, err := output(exec.Command("cp", "-a", "--reflink=auto", from, tree)); err != nil {
		return err
	}
	// The copied templates belong to the tree that they were made in.
	if err := os.RemoveAll(filepath.Join(tree, postgres.Templates)); err != nil {
		return err
	}
	shared, err := output(exec.Command(filepath.Join(tree, "bin", "pg_config"), "--sharedir"))
	if err != nil {
		return err
	}
	for _, version := range released() {
		name := "rule_engine--" + version + ".sql"
		script, err := os.ReadFile(filepath.Join(program.Repository(), "test", "released", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(strings.TrimSpace(shared), "extension", name), script, 0o644); err != nil {
			return err
		}
	}
	return os.Setenv(postgres.RootEnv, tree)
}

// released are the versions that were released before this one.
func released() []string {
	files, err := filepath.Glob(filepath.Join(program.Repository(), "test", "released", "rule_engine--*.sql"))
	if err != nil || len(files) == 0 {
		panic("test/released holds no install script")
	}
	var versions []string
	for _, file := range files {
		versions = append(versions, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "rule_engine--"), ".sql"))
	}
	return versions
}

// version is the one that the tree installs.
func version() string {
	control, err := os.ReadFile(filepath.Join(program.Repository(), "rule_engine.control"))
	if err != nil {
		panic(err)
	}
	_, after, _ := strings.Cut(string(control), "default_version = '")
	found, _, _ := strings.Cut(after, "'")
	return found
}

// output is what a command prints; its errors are part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", cmd, err, errs.String())
	}
	return string(out), err
}

var databases atomic.Int32

// database makes a database and returns its name.
func database(t *testing.T, options ...string) string {
	t.Helper()
	name := fmt.Sprintf("install_%d", databases.Add(1))
	run(t, cluster.Connect(t, "postgres", "postgres"), strings.Join(append([]string{"CREATE DATABASE", name}, options...), " "))
	return name
}

// connect connects to a database as its superuser.
func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	return cluster.Connect(t, database, "postgres")
}

func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(context.Background(), statement)
		require.NoError(t, err, statement)
	}
}

// rows are the rows of a query, each as one text.
func rows(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	found, err := conn.Query(context.Background(), query, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, query)
	defer found.Close()
	var lines []string
	for found.Next() {
		var parts []string
		for _, value := range found.RawValues() {
			parts = append(parts, string(value))
		}
		lines = append(lines, strings.Join(parts, "|"))
	}
	require.NoError(t, found.Err(), query)
	return lines
}

//go:embed catalog.sql
var catalogQuery string

func catalog(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	lines := rows(t, conn, catalogQuery)
	require.NotEmpty(t, lines)
	return lines
}

// psql runs psql on a database as its superuser.
func psql(database, folder string, args ...string) (string, error) {
	return cluster.Psql(database, "postgres", folder, args...)
}

// sorted puts the entries of each access control list in order: a restore grants in another one.
func sorted(lines []string) []string {
	list := regexp.MustCompile(`\{[^{}]*=[^{}]*/[^{}]*\}`)
	var all []string
	for _, line := range lines {
		all = append(all, list.ReplaceAllStringFunc(line, func(acl string) string {
			entries := strings.Split(strings.Trim(acl, "{}"), ",")
			slices.Sort(entries)
			return strings.Join(entries, ",")
		}))
	}
	slices.Sort(all)
	return all
}
