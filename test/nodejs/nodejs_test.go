// Package nodejs runs what the worker in Node.js has of checks and tests of its own.
package nodejs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

var folder = filepath.Join(program.Repository(), "examples/nats-workers/nodejs")

func TestTheLockFileOfTheWorkerInNodejsNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	require.NoError(t, err)
	require.False(t, bytes.Contains(lock, []byte(`"resolved"`)), "omit-lockfile-registry-resolved in .npmrc keeps addresses out")
}

func TestTheWorkerInNodejsPassesItsOwnTestsAndChecks(t *testing.T) {
	node, err := program.Node()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(folder, "test", "*.test.js"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for name, args := range map[string][]string{
		"tests": append([]string{"--test"}, files...),
		"types": {"node_modules/typescript/bin/tsc"},
		"lint":  {"node_modules/eslint/bin/eslint.js", "."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), node, args...)
			cmd.Dir = folder
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}
