package system

import (
	"testing"

	"rule_engine/test/postgres"
)

// Run starts a system for the length of a test. A test that fails shows the end of PostgreSQL's log.
func Run(t testing.TB, opts ...postgres.Option) *System {
	t.Helper()
	s, err := Start(t.Context(), opts...)
	return tended(t, s, err)
}

// RunWith is Run with the caller's NATS.
func RunWith(t testing.TB, natsURL string, opts ...postgres.Option) *System {
	t.Helper()
	s, err := start(t.Context(), &System{natsURL: natsURL}, opts)
	return tended(t, s, err)
}

func tended(t testing.TB, s *System, err error) *System {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of PostgreSQL's log:\n%s", s.Postgres.LogTail(60))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
