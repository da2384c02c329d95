package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSentencesAreReadWithTheirTests(t *testing.T) {
	all, err := readGuarantees(`# What users may rely on

Some words before, with G1 in them.

G1. What rolled back
is never delivered. ` + "`test: TestOne`" + `

- **G2.** Second.
  test: regress/two

Words after.

## More

G3: Third.

` + "`test: isolation/three`" + `
`)
	require.NoError(t, err)
	require.Equal(t, []guarantee{
		{1, "What rolled back is never delivered.", "TestOne"},
		{2, "Second.", "regress/two"},
		{3, "Third.", "isolation/three"},
	}, all)
}

func TestAPageThatCouldHideASentenceIsRefused(t *testing.T) {
	for page, complaint := range map[string]string{
		"G1. One.\ntest: A\n\nG3. Three.\ntest: B\n": "G3 stands where G2 should",
		"G1. One.\n\nG2. Two.\ntest: B\n":            "G1 names no test",
		"G1. One.\ntest: A\ntest: B\n":               "G1 names two tests",
		"G1. `test: A`\n":                            "G1 says nothing",
		"nothing here\n":                             "0 sentences",
	} {
		_, err := readGuarantees(page)
		require.ErrorContains(t, err, complaint)
	}
}

func TestAGuaranteeFailsWithItsTestAndWithoutIt(t *testing.T) {
	r := results{passed: map[string]bool{}}
	r.add([]outcome{{suite: "p", test: "TestA/sub"}, {suite: "p", test: "TestB", status: failed},
		{suite: "p", test: "TestC", status: skipped}, {suite: "regress", test: "d"}}, []string{"TestA", "TestA/sub"})

	lines := r.judge([]guarantee{{1, "a", "TestA"}, {2, "b", "TestB"}, {3, "c", "TestC"}, {4, "d", "regress/d"}, {5, "e", "TestE"}})

	require.Equal(t, []string{"G1 passed: a (TestA)", "G2 failed: b (TestB)", "G3 failed: c (TestC)",
		"G4 passed: d (regress/d)", "G5 failed: e (TestE)"}, lines)
	require.Equal(t, tally{passed: 2, failed: 3, skipped: 1}, count(r.outcomes), "G3 and G5 fail by themselves, G2 with its test")
}
