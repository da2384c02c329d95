// Package worker runs a worker as its users do: a program, configured by its environment alone. The
// tests know nothing of its language.
package worker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rule_engine/test/process"
	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

const patience = time.Minute

var errStillRuns = errors.New("the worker did not end in time and was killed")

// A Process is a running worker.
type Process struct {
	cmd   *exec.Cmd
	dir   *scratch.Dir
	ended chan struct{}
}

// A Kind of worker is named as its folder below examples/nats-workers.
type Kind string

const (
	Go     Kind = "go"
	NodeJS Kind = "nodejs"
)

// KindEnv names the kind that Start and Run take; without it that is Go.
const KindEnv = "WORKER"

func (k Kind) command() (*exec.Cmd, error) {
	switch k {
	case Go, "":
		path, err := program.Build("webhook-worker", "examples/nats-workers/go")
		return exec.Command(path), err
	case NodeJS:
		path, err := program.Node()
		return exec.Command(path, filepath.Join(program.Repository(), "examples/nats-workers/nodejs/main.js")), err
	}
	return nil, fmt.Errorf("%s is %q; it takes %s and %s", KindEnv, string(k), Go, NodeJS)
}

// Start starts a worker with nothing in its environment but PATH and these NAME=value entries.
func Start(env ...string) (*Process, error) { return Kind(os.Getenv(KindEnv)).Start(env...) }

// StartBehind is Start with a command in front that becomes the program it is given.
func StartBehind(front []string, env ...string) (*Process, error) {
	cmd, err := Kind(os.Getenv(KindEnv)).command()
	if err != nil {
		return nil, err
	}
	if len(front) > 0 {
		cmd = exec.Command(front[0], append(front[1:], cmd.Args...)...)
	}
	return start(cmd, env)
}

// Start is the same for this kind.
func (k Kind) Start(env ...string) (*Process, error) {
	cmd, err := k.command()
	if err != nil {
		return nil, err
	}
	return start(cmd, env)
}

func start(cmd *exec.Cmd, env []string) (*Process, error) {
	dir, err := scratch.Make("worker")
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, dir: dir, ended: make(chan struct{})}
	log, err := os.Create(p.logFile())
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	defer log.Close()
	p.cmd.Dir = dir.Path
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := process.Start(p.cmd, syscall.SIGKILL); err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Run starts a worker for the length of a test. A test that fails shows its log.
func Run(t testing.TB, env ...string) *Process {
	t.Helper()
	return Kind(os.Getenv(KindEnv)).Run(t, env...)
}

// Run is the same for this kind.
func (k Kind) Run(t testing.TB, env ...string) *Process {
	t.Helper()
	p, err := k.Start(env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of worker %d:\n%s", p.Pid(), p.Log())
		}
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *Process) logFile() string { return filepath.Join(p.dir.Path, "log") }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Log is all that the worker has printed.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return strings.TrimRight(string(text), "\n")
}

// Running is true until it has ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Kill ends it with SIGKILL: it gives back nothing.
func (p *Process) Kill() { _ = p.Signal(syscall.SIGKILL); <-p.ended }

// Signal sends a signal, to one that has ended as well.
func (p *Process) Signal(signal syscall.Signal) error { return p.cmd.Process.Signal(signal) }

// Stop sends SIGTERM and waits for the end.
func (p *Process) Stop() error {
	_ = p.Signal(syscall.SIGTERM)
	return p.Wait(patience)
}

// Wait waits for the end; an exit code other than 0 is an error, with what the worker said.
func (p *Process) Wait(in time.Duration) error {
	select {
	case <-p.ended:
	case <-time.After(in):
		p.Kill()
		return fmt.Errorf("%w\n%s", errStillRuns, p.Log())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the worker ended with %s:\n%s", p.cmd.ProcessState, p.Log())
	}
	return nil
}

// Remove kills it if it still runs and removes its folder.
func (p *Process) Remove() error {
	p.Kill()
	return p.dir.Remove()
}
