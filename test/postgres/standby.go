package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"rule_engine/test/scratch"
)

// RunStandby starts a cluster that follows this one, for the length of a test.
func (c *Cluster) RunStandby(t testing.TB) *Cluster {
	t.Helper()
	standby, err := c.startStandby()
	return tended(t, standby, err)
}

func (c *Cluster) startStandby() (*Cluster, error) {
	dir, err := scratch.Make("pg")
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir.Path, "pg")
	standby := &Cluster{
		Tree:  c.Tree,
		Data:  filepath.Join(home, "data"),
		Log:   filepath.Join(home, "log"),
		dir:   dir,
		owner: c.owner,
		env:   c.env,
	}
	if err = c.owner.mkdir(home); err == nil {
		err = c.copyTo(standby)
	}
	if err == nil {
		err = standby.startOnFreePort()
	}
	if err != nil {
		return nil, errors.Join(err, standby.Remove())
	}
	return standby, nil
}

func (c *Cluster) copyTo(standby *Cluster) error {
	backup := exec.Command(filepath.Join(c.Tree, "bin", "pg_basebackup"), "--pgdata="+standby.Data, "--host="+c.Socket(),
		fmt.Sprintf("--port=%d", c.Port), "--username=postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
		"--wal-method=fetch")
	backup.Dir = standby.Socket()
	c.owner.takes(backup)
	if output, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	return standby.AppendConf("unix_socket_directories = '" + standby.Socket() + "'")
}
