package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const parentEnv = "RULE_ENGINE_TEST_PARENT"

// TestMain lets this test program be the parent that is killed.
func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "" {
		os.Exit(m.Run())
	}
	child := exec.Command("sleep", "60")
	if err := Start(child, syscall.SIGKILL); err != nil {
		panic(err)
	}
	fmt.Println(child.Process.Pid)
	time.Sleep(time.Minute)
}

func TestAChildDiesWithAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"=1")
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(child, 0))

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool { return gone(child) }, patience, 10*time.Millisecond)
}

// gone also holds for a zombie whose new parent takes its time.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestAllBelowAFolderAreKilledAndNoOthers(t *testing.T) {
	inside, outside := t.TempDir(), t.TempDir()
	commands := map[string]*exec.Cmd{}
	for _, dir := range []string{inside, outside} {
		commands[dir] = exec.Command("sleep", "60")
		commands[dir].Dir = dir
		require.NoError(t, Start(commands[dir], syscall.SIGKILL))
	}
	require.Equal(t, 1, KillBelow(inside))
	require.Error(t, commands[inside].Wait())
	require.Empty(t, Below(inside))
	require.Len(t, Below(outside), 1)
	require.NoError(t, commands[outside].Process.Kill())
	_ = commands[outside].Wait()
}
