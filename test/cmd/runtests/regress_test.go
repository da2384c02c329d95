package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBothFormsOfPgRegressAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "regression.diffs")
	require.NoError(t, os.WriteFile(file, []byte("diff -U3 /x/expected/errors.out /x/results/errors.out\n-a\n+b\n"+
		"diff -U3 /x/expected/other.out /x/results/other.out\n-c\n"), 0o600))
	want := []outcome{
		{suite: "regress", test: "catalog"},
		{suite: "regress", test: "errors", status: failed, detail: "diff -U3 /x/expected/errors.out /x/results/errors.out\n-a\n+b\n"},
	}

	require.Equal(t, want, readRegress("regress", `(using postmaster on /tmp, port 5)
============== dropping database "contrib_regression" ==============
DROP DATABASE
============== running regression test queries        ==============
test catalog                      ... ok           12 ms
test errors                       ... FAILED      112 ms

======================
 1 of 2 tests failed. 
======================

The differences that caused some tests to fail can be viewed in the
file "`+file+`".  A copy of the test summary that you see
above is saved in the file "/x/regression.out".
`))
	require.Equal(t, want, readRegress("regress", `# using postmaster on /tmp, port 5
ok 1         - catalog                                    12 ms
not ok 2     - errors                                    112 ms
1..2
# The differences that caused some tests to fail can be viewed in the file "`+file+`".
`))
}
