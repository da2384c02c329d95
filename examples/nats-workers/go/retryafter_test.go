package main

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{" 120 ", 2 * time.Minute},
		{"000007", 7 * time.Second},
		{"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour},
		{"99999", 24 * time.Hour},
		{"100000000000000000000", 24 * time.Hour},
		{"-5", 0},
		{"1.5", 0},
		{"1e3", 0},
		{"soon", 0},
		{"٣", 0},
		{"Sun, 01 Mar 2026 12:01:30 GMT", 90 * time.Second},
		{"Sunday, 01-Mar-26 12:01:30 GMT", 90 * time.Second},
		{"Sun Mar  1 12:01:30 2026", 90 * time.Second},
		{"Sun, 01 Mar 2026 11:00:00 GMT", 0},
		{"Sat, 01 Mar 2036 12:00:00 GMT", 24 * time.Hour},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
		{"2026-03-01T12:01:30Z", 0},
		{"Sun, 31 Feb 2026 12:01:30 GMT", 0},
	} {
		if got := retryAfter(http.Header{"Retry-After": {c.text}}, now); got != c.want {
			t.Errorf("Retry-After: %s is %v, want %v", c.text, got, c.want)
		}
	}
}

func TestRetryAfterIsADateOfTheEndpointsClock(t *testing.T) {
	h := http.Header{
		"Date":        {"Sun, 01 Mar 2026 12:00:00 GMT"},
		"Retry-After": {"Sun, 01 Mar 2026 12:00:30 GMT"},
	}
	for _, off := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(off)
		if got := retryAfter(h, now); got != 30*time.Second {
			t.Errorf("with our clock off by %v: %v, want 30s", off, got)
		}
	}
}
