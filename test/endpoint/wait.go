package endpoint

import (
	"testing"
	"time"
)

// Await waits until so many requests have arrived, and returns what arrived by the deadline.
func (e *Endpoint) Await(n int, in time.Duration) []Request {
	for deadline := time.Now().Add(in); ; time.Sleep(5 * time.Millisecond) {
		if requests := e.Requests(); len(requests) >= n || time.Now().After(deadline) {
			return requests
		}
	}
}

// Wait is Await for tests: fewer requests fail it.
func (e *Endpoint) Wait(t testing.TB, n int, in time.Duration) []Request {
	t.Helper()
	requests := e.Await(n, in)
	if len(requests) < n {
		t.Fatalf("%d requests arrived in %s, not %d", len(requests), in, n)
	}
	return requests
}
