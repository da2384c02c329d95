package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// RunStandby starts a cluster that follows this one, for the length of a test.
func (c *Cluster) RunStandby(t testing.TB) *Cluster {
	t.Helper()
	standby, err := c.startStandby()
	return tended(t, standby, err)
}

func (c *Cluster) startStandby() (*Cluster, error) {
	standby, err := empty(c.Tree, c.owner, c.env)
	if err != nil {
		return nil, err
	}
	err = c.copyTo(standby)
	if err == nil {
		err = standby.startOnPort()
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
	backup.Dir = filepath.Dir(standby.Data)
	c.owner.takes(backup)
	if output, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	return standby.AppendConf("unix_socket_directories = '" + standby.Socket() + "'")
}
