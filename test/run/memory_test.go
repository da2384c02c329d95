package run

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/scratch"
)

func TestARunLeavesNothingInMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, err := scratch.Make("run")
	require.NoError(t, err)
	r := &Run{dir: dir}
	require.NoError(t, r.InMemory())
	below := os.Getenv("TMPDIR")
	made, err := scratch.Make("pg")
	require.NoError(t, err)
	require.Contains(t, made.Path, below)
	if roomy() {
		require.Contains(t, below, memory)
	}

	require.NoError(t, r.End())
	require.NoDirExists(t, dir.Path)
	if roomy() {
		require.NoDirExists(t, below)
	}
}
