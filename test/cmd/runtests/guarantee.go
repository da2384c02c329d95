package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A guarantee is a numbered sentence of docs/guarantees.md with the test that proves it:
//
//	G1. An event whose transaction rolled back is never delivered by our workers.
//	`test: TestWhatRolledBackIsNeverDelivered`
//
// The sentence may go over several lines. The test is one of Go's, `regress/NAME` or `isolation/NAME`.
type guarantee struct {
	number   int
	sentence string
	test     string
}

var (
	guaranteeHead = regexp.MustCompile(`^\s*(?:[-*] )?\**G(\d+)\**[.:]\**\s*(.*)$`)
	guaranteeTest = regexp.MustCompile("`?test: ([^`\\s]+)`?")
)

// readGuarantees reads the page and refuses one that could hide a sentence: numbers with a gap, a
// sentence without a test, more than twenty.
func readGuarantees(page string) ([]guarantee, error) {
	var all []guarantee
	open := false // the lines belong to the last sentence
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if m := guaranteeHead.FindStringSubmatch(line); m != nil {
			all = append(all, guarantee{})
			fmt.Sscan(m[1], &all[len(all)-1].number)
			line, open = m[2], true
		}
		if !open {
			continue
		}
		g := &all[len(all)-1]
		if strings.HasPrefix(line, "#") || line == "" && g.test != "" {
			open = false
			continue
		}
		if m := guaranteeTest.FindStringSubmatch(line); m != nil {
			if g.test != "" {
				return nil, fmt.Errorf("G%d names two tests, %s and %s", g.number, g.test, m[1])
			}
			g.test = m[1]
			line = strings.Replace(line, m[0], "", 1)
		}
		g.sentence = strings.TrimSpace(g.sentence + " " + strings.TrimSpace(line))
	}
	for i, g := range all {
		switch {
		case g.number != i+1:
			return nil, fmt.Errorf("G%d stands where G%d should", g.number, i+1)
		case g.test == "":
			return nil, fmt.Errorf("G%d names no test", g.number)
		case g.sentence == "":
			return nil, fmt.Errorf("G%d says nothing", g.number)
		}
	}
	if len(all) == 0 || len(all) > 20 {
		return nil, fmt.Errorf("%d sentences, not 1 to 20", len(all))
	}
	return all, nil
}
