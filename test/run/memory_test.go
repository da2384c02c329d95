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
	before := roomy()
	require.NoError(t, r.InMemory())
	if before && roomy() {
		require.NotNil(t, r.memory)
	}
	below := os.Getenv("TMPDIR")
	made, err := scratch.Make("pg")
	require.NoError(t, err)
	require.Contains(t, made.Path, below)
	if r.memory != nil { // others may take and free memory meanwhile
		require.Contains(t, below, memory)
	}

	require.NoError(t, r.End())
	require.NoDirExists(t, dir.Path)
	if r.memory != nil {
		require.NoDirExists(t, below)
	}
}
