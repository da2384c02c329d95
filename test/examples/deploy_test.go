package examples

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(program.Repository(), path))
	require.NoError(t, err)
	return string(text)
}

// No engine runs here, but what the image is built of does: the files that its first stage copies, and its command.
func TestTheImagesFilesMakeAStaticWorker(t *testing.T) {
	t.Parallel()
	stage, _, found := strings.Cut(read(t, "examples/nats-workers/go/Dockerfile"), "\nFROM scratch\n")
	require.True(t, found)
	root := t.TempDir()
	folder, built := root, 0
	for line := range strings.Lines(stage) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "WORKDIR":
			folder = filepath.Join(root, words[1])
			require.NoError(t, os.MkdirAll(folder, 0o755))
		case words[0] == "COPY":
			target := filepath.Join(folder, words[len(words)-1])
			for _, source := range words[1 : len(words)-1] {
				copyInto(t, filepath.Join(program.Repository(), source), target)
			}
		case words[0] == "RUN":
			command := strings.TrimPrefix(strings.TrimSpace(line), "RUN ")
			command = strings.Replace(command, " go build ", " "+filepath.Join(program.Repository(), "scripts", "go")+" build ", 1)
			command = strings.Replace(command, " /webhook-worker ", " "+root+"/webhook-worker ", 1)
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir = folder
			said, err := cmd.CombinedOutput()
			require.NoError(t, err, string(said))
			built++
		}
	}
	require.Equal(t, 1, built)
	binary, err := elf.Open(filepath.Join(root, "webhook-worker"))
	require.NoError(t, err)
	defer binary.Close()
	libraries, err := binary.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries)
	require.Nil(t, binary.Section(".interp"), "no loader is in the image")
}

// copyInto copies a file into a folder, or a folder's contents to it, as COPY does.
func copyInto(t *testing.T, source, target string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if path == source {
			inside = filepath.Base(source)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, inside)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	}))
}

// Whoever ends a worker must leave it the time that it takes to give back what it has.
func TestAWorkerIsGivenTheTimeToEnd(t *testing.T) {
	t.Parallel()
	tell := regexp.MustCompile(`tellFor = (\d+) \* time\.Second`).FindStringSubmatch(read(t, "examples/nats-workers/go/worker.go"))
	require.NotNil(t, tell)
	seconds, err := strconv.Atoi(tell[1])
	require.NoError(t, err)
	// The last heartbeat and the last flush follow.
	bound := time.Duration(seconds)*time.Second + 5*time.Second
	for path, setting := range map[string]string{
		"examples/deploy/compose.yaml":           `stop_grace_period: (\S+)`,
		"examples/deploy/webhook-worker.service": `TimeoutStopSec=(\d+)`,
	} {
		given := regexp.MustCompile(setting).FindStringSubmatch(read(t, path))
		require.NotNil(t, given, path)
		length, err := time.ParseDuration(strings.TrimSuffix(given[1], "s") + "s")
		require.NoError(t, err)
		require.Greater(t, length, bound, path)
	}
}
