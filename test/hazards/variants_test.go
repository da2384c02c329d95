package hazards

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
)

var only = flag.String("only", "", "with -variants: only those whose hazard or test matches this")

// runVariants builds each variant, runs its test, and answers 0 when each has failed and the cured
// build passes all tests.
func runVariants() int {
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// The first cluster makes what later ones are copied from, in the variants' trees too.
	first, err := postgres.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := first.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	code := 0
	for i, v := range variants {
		if !wanted.MatchString(v.hazard) && !wanted.MatchString(v.test) {
			continue
		}
		verdict, said := v.run(fmt.Sprintf("v%d", i))
		if verdict != failsAsItMust {
			code = 1
		}
		fmt.Printf("%-22s  %s: %s\n%24s%s\n", verdict, v.hazard, v.test, "", said)
	}
	if *only != "" {
		return code
	}
	output, err := runTests(os.Getenv(postgres.RootEnv), ".")
	passed := strings.Count(output, "\n--- PASS: ")
	if err != nil {
		fmt.Printf("%s\ncured: %v, %d tests passed\n", output, err, passed)
		return 1
	}
	fmt.Printf("cured: all %d tests pass\n", passed)
	return code
}

// A variant that no longer fits the sources would be found only where somebody builds it.
func TestEveryVariantFitsTheSources(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var tests strings.Builder
	for _, file := range files {
		tests.WriteString(read(t, file))
	}
	for _, v := range variants {
		edits := v.edits
		if v.probed {
			edits = slices.Concat(probes, edits)
		}
		_, err := apply(edits)
		require.NoError(t, err, v.hazard)
		require.Contains(t, tests.String(), "\nfunc "+v.test+"(t ", v.hazard)
	}
}

const (
	failsAsItMust = "fails without its cure"
	stillPasses   = "STILL PASSES"
	notBuilt      = "NOT BUILT"
)

// run answers the verdict on a variant and what its test said.
func (v *variant) run(name string) (verdict, said string) {
	tree, err := buildTree(name, v.edits, v.probed)
	if err != nil {
		return notBuilt, err.Error()
	}
	defer os.RemoveAll(filepath.Dir(tree))
	output, err := runTests(tree, "^"+v.test+"$", fmt.Sprintf("-test.count=%d", max(v.tries, 1)), "-test.failfast")
	if err == nil {
		return stillPasses, ""
	}
	return failsAsItMust, complaint(output)
}

// runTests runs tests of this program on a tree.
func runTests(tree, pattern string, further ...string) (output string, err error) {
	command := exec.Command(os.Args[0], append(further, "-test.run="+pattern, "-test.v", "-test.timeout=5m")...)
	command.Env = append(os.Environ(), postgres.RootEnv+"="+tree)
	text, err := command.CombinedOutput()
	return string(text), err
}

var (
	crash   = regexp.MustCompile(`server process .* (was terminated by signal|exited with exit code) [^\n]*|panic: [^\n]*`)
	failure = regexp.MustCompile(`Error Trace:[^\n]*\n(?:        \t[^\n]*\n)+`)
	saying  = regexp.MustCompile(`(?m)^ *\tMessages: *\t(.*)$`)
	finding = regexp.MustCompile(`\tError: *\t([^\n]*(?:\n *\t *\t[^\n]*){0,2})`)
)

// complaint is the first failure that a test reported, and a crash that the server did, in one line.
func complaint(output string) string {
	first := failure.FindString(output)
	said := append(saying.FindStringSubmatch(first), finding.FindStringSubmatch(first)...)
	parts := []string{crash.FindString(output)}
	for i := 1; i < len(said); i += 2 {
		parts = append(parts, said[i])
	}
	var lines []string
	for _, part := range parts {
		if part = strings.Join(strings.Fields(part), " "); part != "" {
			lines = append(lines, part)
		}
	}
	if len(lines) == 0 {
		return strings.TrimSpace(output)
	}
	return strings.Join(lines, "; ")
}
