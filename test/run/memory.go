package run

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"rule_engine/test/scratch"
)

const (
	memory = "/dev/shm"
	// enough is several times what the tests of a run hold at once.
	enough = 6 << 30
)

// InMemory lets all that the tests make lie in memory, where there is enough. Each cluster is a thousand files that are soon
// removed, and an ext4 without a journal looks at every inode that was freed in the last minutes before it gives one away.
func (r *Run) InMemory() error {
	if !roomy() {
		return nil
	}
	dir, err := scratch.MakeIn(memory, "run")
	if err != nil {
		return err
	}
	r.memory = dir
	return os.Setenv("TMPDIR", dir.Path)
}

// roomy is false where the folder is none of memory, too small, as in most containers, or one that no library is loaded from.
func roomy() bool {
	const tmpfs, noexec = 0x01021994, 0x8
	var fs syscall.Statfs_t
	return syscall.Statfs(memory, &fs) == nil && fs.Type == tmpfs && fs.Flags&noexec == 0 &&
		int64(fs.Bavail)*fs.Bsize >= enough && available() >= enough
}

// available is the memory that can be had without swapping.
func available() (bytes int64) {
	text, _ := os.ReadFile("/proc/meminfo")
	_, after, _ := strings.Cut(string(text), "MemAvailable:")
	_, _ = fmt.Sscan(after, &bytes)
	return bytes << 10
}
