package scratch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFolderWithoutAnOwnerIsSweptUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	owned, err := Make("owned")
	require.NoError(t, err)
	orphan, err := Make("orphan")
	require.NoError(t, err)
	require.NoError(t, orphan.lock.Close()) // as when its process was killed
	newborn, err := Make("newborn")
	require.NoError(t, err)
	require.NoError(t, newborn.lock.Close())
	long := time.Now().Add(-time.Hour)
	for _, dir := range []*Dir{owned, orphan} {
		require.NoError(t, os.Chtimes(filepath.Join(dir.Path, lockName), long, long))
	}

	sweepNow(os.TempDir())

	require.DirExists(t, owned.Path)
	require.NoDirExists(t, orphan.Path)
	require.DirExists(t, newborn.Path, "its owner may be about to lock it")
	require.NoError(t, owned.Remove())
	require.NoDirExists(t, owned.Path)
}
