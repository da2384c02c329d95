package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/process"
	"rule_engine/test/scratch"
)

func answer(t *testing.T, c *Cluster) int {
	t.Helper()
	var one int
	require.NoError(t, c.Connect(t, "postgres", "postgres").QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&one))
	return one
}

func TestAClusterKeepsItsRowsOverRestartAndKill(t *testing.T) {
	c := Run(t, Conf("log_statement = 'all'"))
	_, err := c.Connect(t, "postgres", "postgres").Exec(t.Context(), "CREATE TABLE kept AS SELECT 1")
	require.NoError(t, err)

	require.NoError(t, c.Restart())
	require.Equal(t, 1, answer(t, c))

	require.NoError(t, c.Kill())
	require.False(t, c.Running())
	require.NoError(t, c.StartAgain())
	require.Equal(t, 1, answer(t, c))
	require.Contains(t, c.LogText(), "CREATE TABLE kept", "extra lines of configuration count")
}

func TestARemovedClusterLeavesNothing(t *testing.T) {
	c, err := Start()
	require.NoError(t, err)
	conn := c.Connect(t, "postgres", "postgres")
	go func() { _, _ = conn.Exec(t.Context(), "SELECT pg_sleep(60)") }()

	require.NoError(t, c.Remove())
	require.NoDirExists(t, c.Data)
	require.Eventually(t, func() bool { return len(process.Below(c.Data)) == 0 }, patience, 10*time.Millisecond)
}

func TestAKilledClustersSharedMemoryGoesWithItsFolder(t *testing.T) {
	c := Run(t)
	require.NoError(t, c.Kill())
	segments, err := filepath.Glob(filepath.Join(c.Data, "pg_dynshmem", "mmap.*"))
	require.NoError(t, err)
	require.NotEmpty(t, segments)
}

func TestAClusterInAFolderFarDownHasItsSocketElsewhere(t *testing.T) {
	far := filepath.Join(scratch.For(t, "far"), strings.Repeat("f", socketPath))
	require.NoError(t, os.Mkdir(far, 0o755))
	t.Setenv("TMPDIR", far)
	c := Run(t)
	require.Contains(t, c.Data, far)
	_, err := c.Connect(t, "postgres", "postgres").Exec(t.Context(), "CREATE TABLE kept AS SELECT 1")
	require.NoError(t, err)
	standby := c.RunStandby(t)
	require.Equal(t, 1, answer(t, standby))

	require.NoError(t, standby.Remove())
	require.NoDirExists(t, standby.Socket())
}

func TestWithoutATreeTheErrorSaysHowToMakeOne(t *testing.T) {
	t.Setenv(RootEnv, os.TempDir()+"/nothing-here")
	_, err := Start()
	require.ErrorContains(t, err, "scripts/pgroot")
}
