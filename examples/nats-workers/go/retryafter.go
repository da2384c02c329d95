package main

import (
	"net/http"
	"strings"
	"time"
)

// mostRetryAfter is the longest wait that an endpoint can ask for. The
// database says the same; here it keeps numbers that no duration holds out.
const mostRetryAfter = 24 * time.Hour

// retryAfter is how long the endpoint asks to be left alone: in seconds, or
// until a date. 0 when it does not, or asks for nothing that makes sense.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		text = strings.TrimLeft(text, "0")
		if len(text) > len("86400") {
			return mostRetryAfter
		}
		seconds := 0
		for _, digit := range text {
			seconds = 10*seconds + int(digit-'0')
		}
		return min(time.Duration(seconds)*time.Second, mostRetryAfter)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// The date is of the endpoint's clock, which ours may not agree with.
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		now = theirs
	}
	return min(max(0, until.Sub(now)), mostRetryAfter)
}
