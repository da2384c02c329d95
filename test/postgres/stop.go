package postgres

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"rule_engine/test/process"
)

var errStillThere = errors.New("the server did not end in time")

// Stop ends the server as an administrator would (fast: sessions are ended).
func (c *Cluster) Stop() error {
	return c.end(syscall.SIGINT, patience)
}

// Kill sends SIGKILL to the postmaster; its children see that and end by themselves.
func (c *Cluster) Kill() error {
	return c.end(syscall.SIGKILL, patience)
}

// Crash is an immediate shutdown: sessions are ended where they stand, and the next start recovers.
func (c *Cluster) Crash() error {
	return c.end(syscall.SIGQUIT, patience)
}

func (c *Cluster) end(signal syscall.Signal, in time.Duration) error {
	if !c.Running() {
		return nil
	}
	// The kernel answers ESRCH when it ended in between.
	_ = c.server.Process.Signal(signal)
	select {
	case <-c.ended:
		return nil
	case <-time.After(in):
		return errStillThere
	}
}

// Running is true until the postmaster has ended.
func (c *Cluster) Running() bool {
	if c.ended == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// StartAgain starts a cluster that was stopped or killed, on the same port. After a kill it waits
// for the old server's children, which hold the shared memory.
func (c *Cluster) StartAgain() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		before := len(c.LogText())
		err := c.launch()
		said := c.LogText()[before:]
		taken := strings.Contains(said, "still in use") || strings.Contains(said, "could not bind")
		if err == nil || time.Now().After(deadline) || !taken {
			return err
		}
	}
}

// Restart is Stop and StartAgain.
func (c *Cluster) Restart() error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.StartAgain()
}

// Remove ends the server, also one that does not listen any more, and removes the cluster.
func (c *Cluster) Remove() error {
	if c.end(syscall.SIGINT, 5*time.Second) != nil {
		process.KillBelow(c.Data)
	}
	if c.port != nil {
		defer c.port.Free()
	}
	return errors.Join(c.socket.remove(), c.dir.Remove())
}
