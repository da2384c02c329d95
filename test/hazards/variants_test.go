package hazards

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"rule_engine/test/postgres"
)

var only = flag.String("only", "", "of the variants, those whose hazard or test matches this")

// runVariants builds each variant, runs its test, and answers 0 when each has failed and the cured
// build passes all tests.
func runVariants() int {
	wanted, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
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
		fmt.Printf("%-22s  %s\n%24s%s\n%24s%s\n", verdict, v.hazard, "", v.test, "", said)
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
	output, err := runTests(tree, "^"+v.test+"$")
	if err == nil {
		return stillPasses, ""
	}
	return failsAsItMust, complaint(output)
}

// runTests runs tests of this program on a tree.
func runTests(tree, pattern string) (output string, err error) {
	command := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout=5m")
	command.Env = append(os.Environ(), postgres.RootEnv+"="+tree)
	text, err := command.CombinedOutput()
	return string(text), err
}

var (
	crash    = regexp.MustCompile(`server process .* (was terminated by signal|exited with exit code) [^\n]*|panic: [^\n]*`)
	failure  = regexp.MustCompile(`Error Trace:[^\n]*\n(?:        \t[^\n]*\n)+`)
	saying   = regexp.MustCompile(`(?m)^ *\tMessages: *\t(.*)$`)
	finding  = regexp.MustCompile(`\tError: *\t([^\n]*(?:\n *\t *\t[^\n]*){0,2})`)
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
