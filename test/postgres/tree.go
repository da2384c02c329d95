package postgres

import (
	"errors"
	"os"
	"path/filepath"
)

// RootEnv names the tree that clusters are started from.
const RootEnv = "PGROOT"

var errNoTree = errors.New("PGROOT names no PostgreSQL tree; `make test` makes one, `scripts/pgroot DIR` another")

// Tree is the tree that PGROOT names.
func Tree() (string, error) {
	tree := os.Getenv(RootEnv)
	if _, err := os.Stat(filepath.Join(tree, "bin", "postgres")); tree == "" || err != nil {
		return "", errNoTree
	}
	return filepath.EvalSymlinks(tree)
}
