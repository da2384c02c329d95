package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const patience = 30 * time.Second

var errNotFrozen = errors.New("the process did not stop at SIGSTOP")

// Freeze sends SIGSTOP and returns when every thread stands: the signal alone lets threads on
// other cores go on for a moment. SIGCONT thaws.
func Freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if frozen(pid) {
			return nil
		}
	}
	return errNotFrozen
}

func frozen(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		// The state follows the command's name, which stands in brackets and may hold any character.
		// One that has ended and is not reaped stands as well.
		if end := bytes.LastIndexByte(stat, ')'); end+2 >= len(stat) || stat[end+2] != 'T' && stat[end+2] != 'Z' {
			return false
		}
	}
	return len(stats) > 0
}
