package main

import (
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
)

// A goEvent is one line of `go test -json`.
type goEvent struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// A goPackage collects the events of one package until its last.
type goPackage struct {
	name    string
	tests   map[string]*goTest
	order   []string
	output  strings.Builder // what belongs to no test
	elapsed float64
}

type goTest struct {
	action string
	output strings.Builder
}

// readGoTest reads the events of a `go test -json` and hands over each package as it ends. What is
// no event goes to other: go itself prints its own mistakes plainly.
func readGoTest(events io.Reader, other io.Writer, finished func(p *goPackage, outcomes []outcome)) error {
	packages := map[string]*goPackage{}
	builds := map[string]*strings.Builder{}
	lines := json.NewDecoder(plainLinesAside(events, other))
	for {
		var e goEvent
		if err := lines.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if e.Action == "build-output" {
			if builds[e.ImportPath] == nil {
				builds[e.ImportPath] = &strings.Builder{}
			}
			builds[e.ImportPath].WriteString(e.Output)
			continue
		}
		if e.Package == "" {
			continue
		}
		p := packages[e.Package]
		if p == nil {
			p = &goPackage{name: e.Package, tests: map[string]*goTest{}}
			packages[e.Package] = p
		}
		if e.FailedBuild != "" && builds[e.FailedBuild] != nil {
			p.output.WriteString(builds[e.FailedBuild].String())
		}
		if p.take(e) {
			delete(packages, e.Package)
			finished(p, p.outcomes(e.Action))
		}
	}
	// A package whose end never came: go test itself was ended.
	for _, p := range packages {
		finished(p, p.outcomes("fail"))
	}
	return nil
}

// take reports whether the event was the package's last.
func (p *goPackage) take(e goEvent) bool {
	if e.Test == "" {
		switch e.Action {
		case "output":
			p.output.WriteString(e.Output)
		case "pass", "fail", "skip":
			p.elapsed = e.Elapsed
			return true
		}
		return false
	}
	test := p.tests[e.Test]
	if test == nil {
		test = &goTest{}
		p.tests[e.Test] = test
		p.order = append(p.order, e.Test)
	}
	switch e.Action {
	case "output":
		test.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		test.action = e.Action
	}
	return false
}

// outcomes are those of the leaves: a test with subtests counts only where it failed and none of
// them did. A package that failed without a failed test counts as one, and so does one that passed
// without a test: its TestMain has run none. One without test files is skipped, and no outcome.
func (p *goPackage) outcomes(ended string) []outcome {
	var all []outcome
	anyFailed := false
	// The deepest first, so that a failure is found before its parents are looked at.
	names := slices.Clone(p.order)
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	explained := map[string]bool{}
	for _, name := range names {
		test := p.tests[name]
		o := outcome{suite: p.name, test: name, detail: test.output.String()}
		switch test.action {
		case "pass":
			o.detail = ""
		case "skip":
			o.status, o.detail = skipped, skipReason(o.detail)
		case "fail":
			o.status = failed
		default:
			o.status, o.detail = failed, o.detail+"did not finish\n"
		}
		if p.isParent(name) && (o.status != failed || explained[name]) {
			continue
		}
		if o.status == failed {
			anyFailed = true
			for parent := name; parent != ""; {
				explained[parent] = true
				parent = parent[:max(strings.LastIndexByte(parent, '/'), 0)]
			}
		}
		all = append(all, o)
	}
	if ended == "fail" && !anyFailed {
		all = append(all, outcome{suite: p.name, test: "(package)", status: failed, detail: p.output.String()})
	}
	if ended == "pass" && len(all) == 0 {
		all = append(all, outcome{suite: p.name, test: "(package)", status: failed,
			detail: p.output.String() + "it has tests and reported none\n"})
	}
	return all
}

func (p *goPackage) isParent(name string) bool {
	return slices.ContainsFunc(p.order, func(other string) bool { return strings.HasPrefix(other, name+"/") })
}

// passedTests are all that passed, parents too: a guarantee may name either.
func (p *goPackage) passedTests() []string {
	var names []string
	for _, name := range p.order {
		if p.tests[name].action == "pass" {
			names = append(names, name)
		}
	}
	return names
}

var logPrefix = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// skipReason is what a test said when it skipped itself.
func skipReason(output string) string {
	var reason []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "=== ") || strings.HasPrefix(trimmed, "--- ") {
			continue
		}
		reason = append(reason, strings.TrimSpace(logPrefix.ReplaceAllString(line, "")))
	}
	if len(reason) == 0 {
		return "no reason given"
	}
	return strings.Join(reason, " ")
}
