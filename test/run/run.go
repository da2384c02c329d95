// Package run prepares what the tests of one run share, and takes all of it away again: the
// PostgreSQL tree, the built programs, and the folder below which every test makes its own.
package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"rule_engine/test/postgres"
	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

// A Run lasts from Begin to End.
type Run struct {
	Tree string // what PGROOT names
	dir  *scratch.Dir
	// memory is nil where the tests' folders lie on disk.
	memory *scratch.Dir
}

// Begin makes the shared things and names them in this process's environment, and so in that of
// all that it starts. The extension must be built.
func Begin() (*Run, error) {
	dir, err := scratch.Make("run")
	if err != nil {
		return nil, err
	}
	r := &Run{Tree: filepath.Join(dir.Path, "pg"), dir: dir}
	if err := r.prepare(); err != nil {
		return nil, errors.Join(err, r.End())
	}
	return r, nil
}

func (r *Run) prepare() error {
	pgroot := exec.Command(filepath.Join(program.Repository(), "scripts", "pgroot"), r.Tree)
	// The flags of a make that called us are not meant for the one in there.
	pgroot.Env = without(os.Environ(), "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
	if output, err := pgroot.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/pgroot: %w\n%s", err, output)
	}
	for name, folder := range map[string]string{"TMPDIR": "t", program.BinEnv: "bin"} {
		path := filepath.Join(r.dir.Path, folder)
		if err := errors.Join(os.Mkdir(path, 0o755), os.Setenv(name, path)); err != nil {
			return err
		}
	}
	return os.Setenv(postgres.RootEnv, r.Tree)
}

// End ends what still runs and removes the shared things.
func (r *Run) End() error {
	if r.memory != nil {
		return errors.Join(r.memory.Remove(), r.dir.Remove())
	}
	return r.dir.Remove()
}

func without(env []string, names ...string) []string {
	var rest []string
entries:
	for _, entry := range env {
		for _, name := range names {
			if strings.HasPrefix(entry, name+"=") {
				continue entries
			}
		}
		rest = append(rest, entry)
	}
	return rest
}
