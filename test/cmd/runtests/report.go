package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"rule_engine/test/program"
)

const guaranteesPage = "docs/guarantees.md"

// report prints the end of the run: skips with their reasons, failures, guarantees, and the line
// that counts.
func (r *runner) report(ctx context.Context) (ok bool) {
	page, err := os.ReadFile(filepath.Join(program.Repository(), guaranteesPage))
	var guarantees []guarantee
	if err == nil {
		guarantees, err = readGuarantees(string(page))
	}
	if err != nil {
		r.results.outcomes = append(r.results.outcomes,
			outcome{suite: "guarantees", test: guaranteesPage, status: failed, detail: err.Error() + "\n"})
	}
	lines := r.results.judge(guarantees)
	if ctx.Err() != nil {
		r.results.outcomes = append(r.results.outcomes,
			outcome{suite: "run", test: "(interrupted)", status: failed})
	}

	fmt.Fprintln(r.out)
	for _, o := range r.results.outcomes {
		if o.status == skipped {
			fmt.Fprintf(r.out, "skipped: %s: %s\n", o.name(), o.detail)
		}
	}
	for _, o := range r.results.outcomes {
		if o.status == failed {
			fmt.Fprintf(r.out, "failed: %s\n", o.name())
			if o.suite == "guarantees" {
				fmt.Fprintf(r.out, "  %s", o.detail)
			}
		}
	}
	for _, line := range lines {
		fmt.Fprintln(r.out, line)
	}
	t := count(r.results.outcomes)
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	return t.failed == 0
}
