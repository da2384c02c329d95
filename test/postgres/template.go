package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Templates is the folder of a tree with the data directories that clusters are copied from. They go with the
// tree: one into which another build is installed needs them anew.
const Templates = "templates"

// template is a data directory in the tree, which the first who asks for it makes.
func template(tree, name string, as owner, fill func(data string) error) (string, error) {
	folder := filepath.Join(tree, Templates)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("the tree must be writable: %w", err)
	}
	home := filepath.Join(folder, name)
	lock, err := os.OpenFile(home+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("the tree must be writable: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	data := filepath.Join(home, "data")
	if _, err := os.Stat(home + ".done"); err == nil {
		return data, nil
	}
	if err := os.RemoveAll(home); err != nil {
		return "", err
	}
	if err := as.mkdir(home); err != nil {
		return "", err
	}
	if err := fill(data); err != nil {
		return "", err
	}
	return data, os.WriteFile(home+".done", nil, 0o644)
}

// bare is what initdb makes.
func bare(tree string, as owner) (string, error) {
	return template(tree, "bare", as, func(data string) error {
		initdb := exec.Command(filepath.Join(tree, "bin", "initdb"), "--pgdata="+data, "--username=postgres",
			"--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8", "--wal-segsize=1")
		initdb.Dir = filepath.Dir(data)
		as.takes(initdb)
		if output, err := initdb.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb: %w\n%s", err, output)
		}
		return nil
	})
}

// template is a bare cluster after it was prepared.
func (p *preparation) template(tree string, as owner) (string, error) {
	return template(tree, p.name, as, func(data string) error {
		c, err := Start()
		if err != nil {
			return err
		}
		if err = p.do(c); err == nil {
			err = c.Stop()
		}
		if err == nil {
			err = copyData(c.Data, data)
		}
		return errors.Join(err, c.Remove())
	})
}

func copyData(from, to string) error {
	cp := exec.Command("cp", "-a", "--reflink=auto", from, to)
	if output, err := cp.CombinedOutput(); err != nil {
		return fmt.Errorf("copying the data directory: %w\n%s", err, output)
	}
	return nil
}
