package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// template is the data directory that clusters are copied from. It lies in the tree and goes with it.
func template(tree string, as owner) (string, error) {
	lock, err := os.OpenFile(filepath.Join(tree, "template.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("the tree must be writable: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	home := filepath.Join(tree, "template")
	data := filepath.Join(home, "data")
	done := filepath.Join(tree, "template.done")
	if _, err := os.Stat(done); err == nil {
		return data, nil
	}
	if err := os.RemoveAll(home); err != nil {
		return "", err
	}
	if err := as.mkdir(home); err != nil {
		return "", err
	}
	initdb := exec.Command(filepath.Join(tree, "bin", "initdb"), "--pgdata="+data, "--username=postgres",
		"--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8")
	initdb.Dir = home
	as.takes(initdb)
	if output, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return data, os.WriteFile(done, nil, 0o644)
}
