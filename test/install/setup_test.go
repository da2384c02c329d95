// Package install tests how the extension gets into a database, and out of one into another.
package install

import (
	"context"
	_ "embed"
	"errors"
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

// older is a version that knew the first migrations only, so that there is something to update from.
const (
	older     = "0.0.1"
	olderEnds = 4
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
		if err := treeWithOlder(filepath.Join(dir.Path, "pg")); err != nil {
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

// treeWithOlder copies the tree that PGROOT names, adds the older version's scripts to it, and lets
// PGROOT name the copy.
func treeWithOlder(tree string) error {
	from, err := postgres.Tree()
	if err != nil {
		return err
	}
	if _, err := output(exec.Command("cp", "-a", "--reflink=auto", from, tree)); err != nil {
		return err
	}
	// The copied template belongs to the tree that it was made in.
	_ = os.RemoveAll(filepath.Join(tree, "template.done"))
	shared, err := output(exec.Command(filepath.Join(tree, "bin", "pg_config"), "--sharedir"))
	if err != nil {
		return err
	}
	folder := filepath.Join(strings.TrimSpace(shared), "extension")
	script, err := installScript(older)
	if err != nil {
		return err
	}
	update, err := installScript(version(), fmt.Sprint(olderEnds))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "rule_engine--"+older+".sql"), []byte(upTo(script, olderEnds)), 0o644),
		os.WriteFile(filepath.Join(folder, "rule_engine--"+older+"--"+version()+".sql"), []byte(update), 0o644),
		os.Setenv(postgres.RootEnv, tree))
}

func installScript(args ...string) (string, error) {
	return output(exec.Command(filepath.Join(program.Repository(), "scripts", "install-script"), args...))
}

// upTo leaves out of an install script what belongs to later migrations.
func upTo(script string, last int) string {
	const files = "\n-- "
	var kept strings.Builder
	keep := true
	for i, part := range strings.Split(script, files) {
		var number int
		_, name, _ := strings.Cut(strings.SplitN(part, "\n", 2)[0], "/")
		// Other parts begin with a comment inside a file.
		if _, err := fmt.Sscanf(name, "%3d_", &number); err == nil {
			keep = number <= last || number == 999
		}
		if i > 0 && keep {
			kept.WriteString(files)
		}
		if keep {
			kept.WriteString(part)
		}
	}
	return kept.String()
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

// psql runs psql on a database in some working directory and returns all that it prints.
func psql(database, folder string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(cluster.Tree, "bin", "psql"), append([]string{"--no-psqlrc", "--set=ON_ERROR_STOP=1",
		"--set=VERBOSITY=verbose", "--host=" + cluster.Socket(), fmt.Sprintf("--port=%d", cluster.Port),
		"--username=postgres", "--dbname=" + database}, args...)...)
	cmd.Dir = folder
	said, err := cmd.CombinedOutput()
	return string(said), err
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
