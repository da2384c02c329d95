package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, events string) (all []outcome, other string) {
	t.Helper()
	var aside bytes.Buffer
	err := readGoTest(strings.NewReader(events), &aside, func(_ *goPackage, outcomes []outcome) { all = append(all, outcomes...) })
	require.NoError(t, err)
	return all, aside.String()
}

func TestLeavesCountOnceAndParentsNever(t *testing.T) {
	all, other := read(t, `{"Action":"run","Package":"p","Test":"TestA"}
go: downloading something
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"run","Package":"p","Test":"TestA/two"}
{"Action":"output","Package":"p","Test":"TestA/two","Output":"    a_test.go:3: broken\n"}
{"Action":"fail","Package":"p","Test":"TestA/two"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: no such machine\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":0.1}
`)
	require.ElementsMatch(t, []outcome{
		{suite: "p", test: "TestA/one"},
		{suite: "p", test: "TestA/two", status: failed, detail: "    a_test.go:3: broken\n"},
		{suite: "p", test: "TestB", status: skipped, detail: "no such machine"},
	}, all)
	require.Equal(t, "go: downloading something\n", other)
}

func TestAParentThatFailedByItselfCounts(t *testing.T) {
	all, _ := read(t, `{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`)
	require.Equal(t, tally{passed: 1, failed: 1}, count(all))
}

func TestAPackageThatDoesNotBuildIsOneFailure(t *testing.T) {
	all, _ := read(t, `{"ImportPath":"p [p.test]","Action":"build-output","Output":"./a.go:1: syntax error\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`)
	require.Len(t, all, 1)
	require.Equal(t, failed, all[0].status)
	require.Contains(t, all[0].detail, "syntax error")
}

func TestATestWithoutAnEndFailed(t *testing.T) {
	all, _ := read(t, `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: help\n"}
{"Action":"fail","Package":"p"}
`)
	require.Equal(t, []outcome{{suite: "p", test: "TestA", status: failed, detail: "panic: help\ndid not finish\n"}}, all)
}

func TestAPackageThatRanNoneOfItsTestsIsAFailure(t *testing.T) {
	all, _ := read(t, `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.004s\n"}
{"Action":"pass","Package":"p","Elapsed":0.004}
`)
	require.Equal(t, []outcome{{suite: "p", test: "(package)", status: failed,
		detail: "ok  \tp\t0.004s\nit has tests and reported none\n"}}, all)
}

func TestAPackageWithoutTestsIsNoOutcome(t *testing.T) {
	all, _ := read(t, `{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}
{"Action":"skip","Package":"p"}
`)
	require.Empty(t, all)
}
