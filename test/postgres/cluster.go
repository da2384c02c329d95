package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/port"
	"rule_engine/test/process"
	"rule_engine/test/scratch"
)

const patience = time.Minute

// A Cluster is one data directory and, while it runs, its server.
type Cluster struct {
	Tree string // the tree that its programs come from
	Data string
	Port int
	Log  string // the server's log file

	dir    *scratch.Dir
	port   *port.Port
	socket socket
	owner  owner
	env    []string
	server *exec.Cmd
	ended  chan struct{} // closed when the server has ended
}

// Start makes a cluster and starts it.
func Start(opts ...Option) (*Cluster, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	tree, err := Tree()
	if err != nil {
		return nil, err
	}
	as, err := serverOwner()
	if err != nil {
		return nil, err
	}
	from, err := o.template(tree, as)
	if err != nil {
		return nil, err
	}
	c, err := empty(tree, as, o.env)
	if err != nil {
		return nil, err
	}
	err = c.fill(from, o.conf)
	if err == nil {
		err = c.startOnPort()
	}
	if err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// empty has its folders and no data.
func empty(tree string, as owner, env []string) (*Cluster, error) {
	dir, err := scratch.Make("pg")
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir.Path, "pg")
	c := &Cluster{
		Tree:  tree,
		Data:  filepath.Join(home, "data"),
		Log:   filepath.Join(home, "log"),
		dir:   dir,
		owner: as,
		env:   env,
	}
	if err = as.mkdir(home); err == nil {
		c.socket, err = socketFor(home, as)
	}
	if err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

func (c *Cluster) fill(from string, conf []string) error {
	if err := copyData(from, c.Data); err != nil {
		return err
	}
	lines := append([]string{"", "unix_socket_directories = '" + c.Socket() + "'"}, standing...)
	return c.AppendConf(append(lines, conf...)...)
}

// AppendConf adds lines to postgresql.conf; the server reads them at a restart or a reload.
func (c *Cluster) AppendConf(lines ...string) error {
	file, err := os.OpenFile(filepath.Join(c.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	return errors.Join(err, file.Close())
}

// Socket is the folder of the Unix socket.
func (c *Cluster) Socket() string { return c.socket.folder }

// Pid is the postmaster's.
func (c *Cluster) Pid() int { return c.server.Process.Pid }

// startOnPort starts it on a port that stays its own.
func (c *Cluster) startOnPort() (err error) {
	if c.port, err = port.Take(); err != nil {
		return err
	}
	c.Port = c.port.Number
	return c.launch()
}

func (c *Cluster) launch() error {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.Tree, "bin", "postgres"), "-D", c.Data, "-p", fmt.Sprint(c.Port))
	cmd.Dir = c.Data
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	c.owner.takes(cmd)
	if err := process.Start(cmd, syscall.SIGQUIT); err != nil {
		return err
	}
	c.server, c.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(c.ended)
	return c.waitUntilReady()
}

func (c *Cluster) waitUntilReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.DSN("postgres", "postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.ended:
			return fmt.Errorf("the server ended at its start:\n%s", c.LogTail(20))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server does not answer: %w\n%s", err, c.LogTail(20)), c.Kill())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
