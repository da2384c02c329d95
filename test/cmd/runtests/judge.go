package main

import "fmt"

// A results is what a run has collected.
type results struct {
	outcomes []outcome
	passed   map[string]bool // Go tests by name, parents too; regress/NAME, isolation/NAME
}

func (r *results) add(outcomes []outcome, alsoPassed []string) {
	r.outcomes = append(r.outcomes, outcomes...)
	for _, name := range alsoPassed {
		r.passed[name] = true
	}
	for _, o := range outcomes {
		if o.status == passed {
			r.passed[o.name()] = true
		}
	}
}

// judge says which guarantees hold. A test that runs in several suites must pass in each. One whose test did not run at all is a failure of its own, so
// that the closing line tells it.
func (r *results) judge(guarantees []guarantee) (lines []string) {
	for _, g := range guarantees {
		verdict := "passed"
		if r.mentions(g.test) {
			verdict = "failed"
		} else if !r.passed[g.test] {
			verdict = "failed"
			r.outcomes = append(r.outcomes, outcome{suite: "guarantees", test: fmt.Sprintf("G%d", g.number),
				status: failed, detail: "no test " + g.test + " has passed in this run\n"})
		}
		lines = append(lines, fmt.Sprintf("G%d %s: %s (%s)", g.number, verdict, g.sentence, g.test))
	}
	return lines
}

// mentions is true when a failure of the test is counted already.
func (r *results) mentions(test string) bool {
	for _, o := range r.outcomes {
		if o.status == failed && (o.test == test || o.name() == test || len(o.test) > len(test) && o.test[:len(test)+1] == test+"/") {
			return true
		}
	}
	return false
}
