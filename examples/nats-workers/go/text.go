package main

import "strings"

// oneLine makes a driver's message of several lines one line of a log.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// plain makes text from outside fit for Postgres, which refuses NUL and bytes
// that are not UTF-8, and no longer than max bytes.
func plain(s string, max int) string {
	if len(s) > max {
		s = s[:max]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
