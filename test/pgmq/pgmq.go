// Package pgmq puts pgmq into databases, as its SQL or as an extension.
package pgmq

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// SQL is pgmq's install SQL.
var SQL = sync.OnceValues(func() (string, error) {
	need := exec.Command(filepath.Join(program.Repository(), "scripts", "need"), "pgmq")
	if output, err := need.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", need, err, output)
	}
	script, err := os.ReadFile(filepath.Join(program.Repository(), "build", "pgmq", "pgmq.sql"))
	return string(script), err
})

// Load runs the install SQL.
func Load(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	script, err := SQL()
	require.NoError(t, err)
	_, err = conn.PgConn().Exec(t.Context(), script).ReadAll()
	require.NoError(t, err)
}

// Offer lets the servers of a tree find it as an extension.
func Offer(t *testing.T, tree string) {
	t.Helper()
	script, err := SQL()
	require.NoError(t, err)
	shared, err := exec.Command(filepath.Join(tree, "bin", "pg_config"), "--sharedir").Output()
	require.NoError(t, err)
	folder := filepath.Join(strings.TrimSpace(string(shared)), "extension")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pgmq--1.13.0.sql"), []byte(script), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pgmq.control"),
		[]byte("default_version = '1.13.0'\nschema = 'pgmq'\nrelocatable = false\n"), 0o644))
}
