package main

import (
	"os"
	"regexp"
	"strings"
)

var (
	// "test name      ... ok     12 ms" up to PostgreSQL 15, TAP's "ok 1   - name   12 ms" from 16 on.
	plainLine = regexp.MustCompile(`(?m)^(?:test )?\s*(\S+)\s+\.\.\. (ok|FAILED|failed \(ignored\))\b`)
	tapLine   = regexp.MustCompile(`(?m)^(ok|not ok) \d+\s+[-+] (\S+)`)
	diffsFile = regexp.MustCompile(`"([^"]*regression\.diffs)"`)
)

// readRegress reads what pg_regress printed, of regression tests or isolation specs.
func readRegress(suite, output string) []outcome {
	diffs := regressDiffs(output)
	var all []outcome
	add := func(test string, ok bool) {
		o := outcome{suite: suite, test: test}
		if !ok {
			o.status, o.detail = failed, diffOf(diffs, test)
		}
		all = append(all, o)
	}
	for _, m := range plainLine.FindAllStringSubmatch(output, -1) {
		add(m[1], m[2] == "ok")
	}
	for _, m := range tapLine.FindAllStringSubmatch(output, -1) {
		add(m[2], m[1] == "ok")
	}
	return all
}

func regressDiffs(output string) string {
	m := diffsFile.FindStringSubmatch(output)
	if m == nil {
		return ""
	}
	diffs, err := os.ReadFile(m[1])
	if err != nil {
		return err.Error()
	}
	return string(diffs)
}

// diffOf is the part of a test's own file; all of it where none is found.
func diffOf(diffs, test string) string {
	var own []string
	for _, part := range regexp.MustCompile(`(?m)^diff `).Split(diffs, -1) {
		head, _, _ := strings.Cut(part, "\n")
		if strings.Contains(head, "/"+test+".out") {
			own = append(own, "diff "+part)
		}
	}
	if len(own) == 0 {
		return diffs
	}
	return strings.Join(own, "")
}
