package hazards

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

// module builds an extension module out of testdata and answers its path, without the suffix.
func module(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(scratch.For(t, "module"), name)
	config := os.Getenv("PG_CONFIG")
	if config == "" {
		config = "pg_config"
	}
	headers, err := exec.Command(config, "--includedir-server").Output()
	require.NoError(t, err)
	build(t, exec.Command("cc", "-shared", "-fPIC", "-O1", "-Wall", "-D_GNU_SOURCE", "-isystem", string(headers[:len(headers)-1]),
		"-o", path+".so", filepath.Join("testdata", name+".c")))
	return path
}

func build(t *testing.T, command *exec.Cmd) {
	t.Helper()
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%v\n%s", command, output)
}

func goTool() string { return filepath.Join(program.Repository(), "scripts", "go") }
