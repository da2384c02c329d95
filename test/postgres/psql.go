package postgres

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Psql runs psql as a role in some working directory, stops at the first error, and returns all that it prints.
func (c *Cluster) Psql(database, role, folder string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(c.Tree, "bin", "psql"), append([]string{"--no-psqlrc", "--set=ON_ERROR_STOP=1",
		"--set=VERBOSITY=verbose", "--host=" + c.Socket(), fmt.Sprintf("--port=%d", c.Port),
		"--username=" + role, "--dbname=" + database}, args...)...)
	cmd.Dir = folder
	said, err := cmd.CombinedOutput()
	return string(said), err
}
