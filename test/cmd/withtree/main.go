// withtree COMMAND [ARGUMENT...] runs a command with the PostgreSQL tree of a run (PGROOT), and
// removes all of it at the end. `withtree bash` gives a shell to work in.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"rule_engine/test/run"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: withtree COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := with(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withtree:", err)
	}
	os.Exit(code)
}

func with(command []string) (code int, err error) {
	// The terminal sends its signals to the command too; the others come to us alone.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	r, err := run.Begin()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, r.End()) }()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGINT {
				_ = cmd.Process.Signal(s)
			}
		}
	}()
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		return 1, err
	}
	// One that a signal ended has no code (-1) and has failed all the same.
	if code = cmd.ProcessState.ExitCode(); code < 0 {
		code = 1
	}
	return code, nil
}
