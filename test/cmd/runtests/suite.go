package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"rule_engine/test/postgres"
	"rule_engine/test/process"
	"rule_engine/test/program"
	"rule_engine/test/worker"
)

// A runner runs suites and prints a line for each as it finishes.
type runner struct {
	ctx  context.Context
	tree string
	out  io.Writer

	mu      sync.Mutex
	results results
}

// finished takes the outcomes of a suite, prints its line and the logs of its failures.
func (r *runner) finished(suite string, took time.Duration, outcomes []outcome, alsoPassed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results.add(outcomes, alsoPassed)
	t := count(outcomes)
	if t == (tally{}) {
		return
	}
	word := "ok    "
	if t.failed > 0 {
		word = "FAILED"
	}
	fmt.Fprintf(r.out, "%s %-34s %3d passed, %d failed, %d skipped  %5.1f s\n", word, suite, t.passed, t.failed, t.skipped, took.Seconds())
	for _, o := range outcomes {
		if o.status == failed {
			fmt.Fprintf(r.out, "--- %s\n%s\n", o.name(), strings.TrimRight(o.detail, "\n"))
		}
	}
}

// broken is a suite that could not run.
func (r *runner) broken(suite string, err error, output string) {
	if r.ctx.Err() != nil {
		err = r.ctx.Err()
	}
	r.finished(suite, 0, []outcome{{suite: suite, test: "(suite)", status: failed, detail: output + err.Error()}}, nil)
}

// goTests runs `go test` in a module's folder. -count=1: what a TestMain builds, starts and reads of
// the environment is no input that Go's cache of results knows.
func (r *runner) goTests(folder string, args ...string) {
	cmd := r.command("scripts/go", append([]string{"test", "-json", "-count=1", "-timeout=20m"}, args...)...)
	cmd.Dir = filepath.Join(program.Repository(), folder)
	r.goTest("go test in "+folder, cmd)
}

// conformance runs the tests of a worker once more, on the worker in Node.js.
func (r *runner) conformance() {
	cmd := r.command("scripts/go", "test", "-json", "-count=1", "-timeout=20m", "-p=2", atOnceInNode, "./flow", "./conformance")
	cmd.Dir = filepath.Join(program.Repository(), "test")
	cmd.Env = append(os.Environ(), worker.KindEnv+"="+string(worker.NodeJS))
	r.goTest("go test of the worker in Node.js", cmd)
}

// goTest runs a command that prints what `go test -json` does. Its exit code must say the same as
// its events: a failure that shows in neither test nor package breaks the suite.
func (r *runner) goTest(suite string, cmd *exec.Cmd) {
	var other bytes.Buffer
	events, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := process.Start(cmd, syscall.SIGTERM); err != nil {
		r.broken(suite, err, "")
		return
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		writer.Close()
	}()
	explained := false
	err := readGoTest(events, &other, func(p *goPackage, outcomes []outcome) {
		explained = explained || count(outcomes).failed > 0
		r.finished(p.name, time.Duration(p.elapsed*float64(time.Second)), outcomes, p.passedTests())
	})
	// Where reading has failed nobody takes what the command still prints.
	events.Close()
	if exit := <-ended; err == nil && !explained {
		err = exit
	}
	if err != nil {
		r.broken(suite, err, other.String())
	}
}

// sqlTests runs the regression tests and then the isolation specs on a cluster of their own, each
// by itself: make would leave out the second where the first fails.
func (r *runner) sqlTests() {
	// Some count what a statement reads of indexes. Where statistics appear in mid-test, planning it reads as well.
	cluster, err := postgres.Start(postgres.Conf("autovacuum = off", "max_prepared_transactions = 10"))
	if err != nil {
		r.broken("regress", err, "")
		return
	}
	defer cluster.Remove()
	r.installcheck(cluster, "regress", "installcheck", "ISOLATION=")
	r.installcheck(cluster, "isolation", "installcheck", "REGRESS=")
	r.installcheck(cluster, "regress with pgmq", "installcheck-pgmq", "ISOLATION=")
	r.installcheck(cluster, "isolation with pgmq", "installcheck-pgmq", "REGRESS=")
}

func (r *runner) installcheck(cluster *postgres.Cluster, suite, target, without string) {
	cmd := r.command("make", "--no-print-directory", target, "PG_CONFIG="+filepath.Join(r.tree, "bin", "pg_config"), without)
	cmd.Env = append(os.Environ(), "PGHOST="+cluster.Socket(), "PGPORT="+strconv.Itoa(cluster.Port), "PGUSER=postgres",
		"MAKEFLAGS=", "MAKELEVEL=")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	err := process.Start(cmd, syscall.SIGTERM)
	if err == nil {
		err = cmd.Wait()
	}
	outcomes := readRegress(suite, output.String())
	if err != nil && count(outcomes).failed == 0 || len(outcomes) == 0 {
		r.broken(suite, fmt.Errorf("make %s: %w", target, err), output.String()+"\n"+cluster.LogTail(40)+"\n")
		return
	}
	r.finished(suite, time.Since(began), outcomes, nil)
}

// command is ended, with all that it has started, when the run is interrupted.
func (r *runner) command(name string, args ...string) *exec.Cmd {
	if strings.Contains(name, "/") {
		name = filepath.Join(program.Repository(), name)
	}
	cmd := exec.CommandContext(r.ctx, name, args...)
	cmd.Dir = program.Repository()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
