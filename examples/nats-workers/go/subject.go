package main

import "strings"

// matchesAny tells whether some subject is in both the filter and one of the
// stream's patterns. A stream that lists none gets its messages otherwise.
func matchesAny(filter string, patterns []string) bool {
	for _, p := range patterns {
		if overlap(strings.Split(filter, "."), strings.Split(p, ".")) {
			return true
		}
	}
	return len(patterns) == 0
}

func overlap(a, b []string) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == ">" || b[0] == ">":
			return true
		case a[0] != b[0] && a[0] != "*" && b[0] != "*":
			return false
		}
		a, b = a[1:], b[1:]
	}
	return len(a) == 0 && len(b) == 0
}
