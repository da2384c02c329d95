package postgres

import (
	"fmt"
	"os"
	"testing"
)

// Main is the TestMain of a package whose tests share one cluster. It answers what to exit with.
func Main(m *testing.M, shared **Cluster, opts ...Option) int {
	c, err := Start(opts...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*shared = c
	code := m.Run()
	if err := c.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
