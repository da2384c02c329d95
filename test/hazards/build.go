package hazards

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"rule_engine/test/postgres"
	"rule_engine/test/program"
	"rule_engine/test/scratch"
)

// An edit replaces a text, which must stand exactly once in a source file: an edit that no longer
// fits is an error, so that the variants follow the sources.
type edit struct{ file, old, new string }

// sources are what the two libraries are built from.
var sources = []string{"c_shim", "pgext", "nats", "migrations", "sql", "scripts", "Makefile",
	"rule_engine.control", "go.mod", "go.sum"}

// probesMark lies in a tree whose Go library has probes.
const probesMark = "probes"

// probes make Go panic where a message id or a configuration's name asks for it.
var probes = []edit{
	{"pgext/event.go", "func (e *engine) load(ev *event, byMode bool) error {\n", `func probe(where, id string) {
	var event *event
	var numbers map[string]int
	name, ok := strings.CutSuffix(id, where)
	if !ok {
		return
	}
	switch name {
	case "panic":
		panic("probe")
	case "nil":
		event.messageID = name
	case "index":
		_ = name[len(id)]
	case "nil map":
		numbers[name] = 1
	case "divide":
		panic(len(id) / len(where))
	case "mask":
		status, _ := os.ReadFile("/proc/thread-self/status")
		panic(string(status))
	}
}

func (e *engine) load(ev *event, byMode bool) error {
	probe("", ev.messageID)
`},
	{"pgext/event.go", "import (\n", "import (\n\t\"os\"\n\t\"strings\"\n"},
	{"pgext/send.go", "func (s *sending) settle(e *engine, c call, ev *event) error {\n",
		"func (s *sending) settle(e *engine, c call, ev *event) error {\n\tprobe(\" in step\", ev.messageID)\n"},
	{"pgext/health.go", "seen := pool.Look(ctx)", `probe("", name)
		seen := pool.Look(ctx)`},
	{"nats/send.go", "func (s *sending) start() error {\n", `func (s *sending) start() error {
	switch fmt.Sprint(s.messages[0].Header["Rule-Engine-Message-Id"]) {
	case "[panic in goroutine]":
		panic("probe")
	case "[nil in goroutine]":
		var nobody *sending
		nobody.open++
	}
`},
	{"nats/send.go", "import (\n", "import (\n\t\"fmt\"\n"},
}

// builds is the folder of all that was built, made when first asked for.
var builds = sync.OnceValues(func() (*scratch.Dir, error) { return scratch.Make("builds") })

func removeBuilds() error {
	dir, err := builds()
	if err != nil {
		return err
	}
	return dir.Remove()
}

// probedTree is the tree of this run with probes in it, built once.
var probedTree = sync.OnceValues(func() (string, error) {
	tree, err := postgres.Tree()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(tree, probesMark)); err == nil {
		return tree, nil
	}
	return buildTree("probes", nil, true)
})

// buildTree copies the tree that PGROOT names and puts into it the libraries that come of the
// edited sources.
func buildTree(name string, edits []edit, probed bool) (string, error) {
	dir, err := builds()
	if err != nil {
		return "", err
	}
	from, err := postgres.Tree()
	if err != nil {
		return "", err
	}
	work := filepath.Join(dir.Path, name)
	source, tree := filepath.Join(work, "src"), filepath.Join(work, "pg")
	if err := os.MkdirAll(filepath.Join(source, "build"), 0o755); err != nil {
		return "", err
	}
	if err := run(program.Repository(), "cp", append([]string{"-a", "-t", source}, sources...)...); err != nil {
		return "", err
	}
	if probed {
		edits = slices.Concat(probes, edits)
	}
	edited, err := apply(edits)
	if err != nil {
		return "", err
	}
	for file, text := range edited {
		if err := os.WriteFile(filepath.Join(source, file), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if err := run("", "cp", "-a", from, tree); err != nil {
		return "", err
	}
	if probed {
		if err := os.WriteFile(filepath.Join(tree, probesMark), nil, 0o644); err != nil {
			return "", err
		}
	}
	return tree, compile(source, tree, edits)
}

// apply answers the edited files.
func apply(edits []edit) (map[string]string, error) {
	edited := map[string]string{}
	for _, e := range edits {
		if _, begun := edited[e.file]; !begun {
			text, err := os.ReadFile(filepath.Join(program.Repository(), e.file))
			if err != nil {
				return nil, err
			}
			edited[e.file] = string(text)
		}
		if n := strings.Count(edited[e.file], e.old); n != 1 {
			return nil, fmt.Errorf("%s has the text of an edit %d times, not once:\n%s", e.file, n, e.old)
		}
		edited[e.file] = strings.Replace(edited[e.file], e.old, e.new, 1)
	}
	return edited, nil
}

// compile builds the libraries that the edits concern and puts them into the tree.
func compile(source, tree string, edits []edit) error {
	folder, err := exec.Command(filepath.Join(tree, "bin", "pg_config"), "--pkglibdir").Output()
	if err != nil {
		return err
	}
	libraries, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(folder)), "rule_engine*.so"))
	if err != nil || len(libraries) == 0 {
		return errors.Join(errors.New("the tree has no library of the extension"), err)
	}
	for _, library := range libraries {
		target := filepath.Base(library)
		if target != "rule_engine.so" {
			target = filepath.Join("build", target)
		}
		if !concerned(target, edits) {
			continue
		}
		if err := run(source, "make", "--silent", "with_llvm=no",
			"GO="+filepath.Join(program.Repository(), "scripts", "go"), target); err != nil {
			return err
		}
		// A new file: the one that lies there may be mapped, or a link.
		if err := errors.Join(os.Remove(library), run(source, "cp", target, library)); err != nil {
			return err
		}
	}
	return nil
}

func concerned(target string, edits []edit) bool {
	for _, e := range edits {
		ofShim := strings.HasPrefix(e.file, "c_shim/") && strings.HasSuffix(e.file, ".c")
		if ofShim == (target == "rule_engine.so") {
			return true
		}
	}
	return false
}

func run(folder, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir = folder
	// The flags of a make that runs us are not meant for the one in here.
	command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, output)
	}
	return nil
}
