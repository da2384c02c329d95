package hazards

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// fieldOf is a line of a status file below /proc.
func fieldOf(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	require.Failf(t, "no such field", "%s in:\n%s", name, text)
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// A signalSet is a set as /proc shows it.
type signalSet uint64

func signals(t *testing.T, path, name string) signalSet {
	t.Helper()
	return signalsIn(t, read(t, path), name)
}

func signalsIn(t *testing.T, status, name string) signalSet {
	t.Helper()
	set, err := strconv.ParseUint(fieldOf(t, status, name), 16, 64)
	require.NoError(t, err)
	return signalSet(set)
}

func (s signalSet) has(signal syscall.Signal) bool { return s&(1<<(signal-1)) != 0 }

func (s signalSet) without(list ...syscall.Signal) signalSet {
	for _, signal := range list {
		s &^= 1 << (signal - 1)
	}
	return s
}

func (s signalSet) String() string {
	var names []string
	for signal := syscall.Signal(1); signal <= 64; signal++ {
		if s.has(signal) {
			names = append(names, signal.String())
		}
	}
	return "{" + strings.Join(names, ", ") + "}"
}

func statusOf(pid int) string { return fmt.Sprintf("/proc/%d/status", pid) }

// threads lists the status files of a process' threads, the main one's left out.
func threads(t *testing.T, pid int) []string {
	t.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	var others []string
	for _, path := range all {
		if filepath.Base(filepath.Dir(path)) != strconv.Itoa(pid) {
			others = append(others, path)
		}
	}
	return others
}

// gone is true of a process that has ended; a zombie waits only for whoever adopted it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

func mapsGo(t *testing.T, pid int) bool {
	t.Helper()
	return strings.Contains(read(t, fmt.Sprintf("/proc/%d/maps", pid)), "rule_engine_go")
}

func residentKB(t *testing.T, pid int) int {
	t.Helper()
	var kB int
	_, err := fmt.Sscan(fieldOf(t, read(t, statusOf(pid)), "RssAnon"), &kB)
	require.NoError(t, err)
	return kB
}
