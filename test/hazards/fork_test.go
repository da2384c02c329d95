package hazards

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever forks without exec leaves its child a Go runtime without threads. Nothing in Postgres
// does so from a backend; a module of the test's does, as Postgres forks (it sets MyProcPid), and
// publishes in the child.
func TestAForkedChildNeverCallsGo(t *testing.T) {
	b := setup(t)
	path := module(t, "forked")
	s := b.sessionWithGo(t)
	s.do(t, "CREATE FUNCTION publish_in_child(integer) RETURNS text LANGUAGE c AS '"+path+"', 'publish_in_child'")
	for range 5 {
		var child string
		require.NoError(t, s.QueryRow(t.Context(), "SELECT publish_in_child($1)", b.webhook).Scan(&child))
		require.Equal(t, "refused: rule_engine cannot run Go in this process", child)
		s.publish(t, nil)
	}
	handOffs(t, b.admin, s, 20, "")
}

// fork and exec is as it was.
func TestProgramsRunWhereGoRuns(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	s.do(t, "CREATE TEMP TABLE out (line text)")
	for range 50 {
		s.do(t, "COPY out FROM PROGRAM 'echo line'")
		s.publish(t, nil)
	}
	// A program that does not read to the end: the backend gets EPIPE, not SIGPIPE.
	s.fails(t, "38000", "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO PROGRAM 'exec 0<&-; exit 3'")
	var lines int
	require.NoError(t, s.QueryRow(t.Context(), "SELECT count(*) FROM out").Scan(&lines))
	require.Equal(t, 50, lines)
}

// Go raises the soft limit for itself, and select(2) in a program that inherited it would overflow.
func TestTheLimitOnOpenFilesStays(t *testing.T) {
	const limit = 600
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	// The server takes it over from us.
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: before.Max}))
	b := setup(t)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))

	s := b.sessionWithGo(t)
	s.do(t, "CREATE TEMP TABLE seen (files integer)")
	s.do(t, "COPY seen FROM PROGRAM 'ulimit -S -n'")
	var files int
	require.NoError(t, s.QueryRow(t.Context(), "SELECT files FROM seen").Scan(&files))
	require.Equal(t, limit, files)
}
