// runtests runs every test of the repository and ends with one line of its own:
// N passed, N failed, N skipped. `make test` builds what it needs first.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"rule_engine/test/program"
	"rule_engine/test/run"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ok, err := runAll(ctx, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "runtests:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func runAll(ctx context.Context, out io.Writer) (ok bool, err error) {
	shared, err := run.Begin()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, shared.End()) }()
	if err := shared.InMemory(); err != nil {
		return false, err
	}
	r := &runner{ctx: ctx, tree: shared.Tree, out: out, results: results{passed: map[string]bool{}}}

	timed, prompt, others, err := testPackages(ctx)
	if err != nil {
		r.broken("rule_engine/test", err, "")
	}
	// Two lanes for two cores. What measures time comes after.
	var lanes sync.WaitGroup
	lanes.Go(func() {
		r.goTests(".", "-race", "./...")
		r.goTests("examples/nats-workers/go", "-race", "./...")
		r.goTests("bench", "./...")
		if len(others) > 0 {
			r.goTests("test", append([]string{"-p=2", atOnce}, others...)...)
		}
	})
	lanes.Go(func() {
		r.sqlTests()
		r.conformance()
	})
	lanes.Wait()
	if len(timed) > 0 {
		r.goTests("test", append([]string{"-p=2"}, timed...)...)
	}
	if len(prompt) > 0 {
		r.goTests("test", append([]string{"-p=1"}, prompt...)...)
	}
	return r.report(ctx), nil
}

// measuring are the packages whose tests say how long something may take. They mostly wait, so that two of them run at once.
var measuring = []string{"rule_engine/test/settings", "rule_engine/test/hazards", "rule_engine/test/cluster", "rule_engine/test/backends"}

// immediate has the machine to itself: its tests expect that a session has noticed at once that its server is gone.
var immediate = []string{"rule_engine/test/publish"}

// atOnce is how many tests of a package run at once, where they do not measure time: they mostly wait,
// for a server, an endpoint or a delay, and this many keep two cores busy.
const atOnce = "-parallel=4"

// atOnceInNode is how many with the worker in Node.js, which begin later and have the machine to themselves at the end.
const atOnceInNode = "-parallel=6"

// testPackages lists the packages of the test module: those that measure time, those that need the machine for it, and the others.
func testPackages(ctx context.Context) (timed, prompt, others []string, err error) {
	list := exec.CommandContext(ctx, filepath.Join(program.Repository(), "scripts", "go"), "list", "./...")
	list.Dir = filepath.Join(program.Repository(), "test")
	output, err := list.Output()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("go list: %w", err)
	}
	for name := range strings.FieldsSeq(string(output)) {
		switch {
		case slices.Contains(measuring, name):
			timed = append(timed, name)
		case slices.Contains(immediate, name):
			prompt = append(prompt, name)
		default:
			others = append(others, name)
		}
	}
	return timed, prompt, others, nil
}
