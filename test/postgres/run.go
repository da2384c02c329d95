package postgres

import "testing"

// Run starts a cluster for the length of a test. A test that fails shows the end of the server's log.
func Run(t testing.TB, opts ...Option) *Cluster {
	t.Helper()
	c, err := Start(opts...)
	return tended(t, c, err)
}

func tended(t testing.TB, c *Cluster, err error) *Cluster {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of PostgreSQL's log:\n%s", c.LogTail(60))
		}
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}
