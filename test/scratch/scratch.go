// Package scratch makes temporary folders that are gone after the run, also when the run was
// killed: the next one sweeps up what has no living owner.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"rule_engine/test/process"
)

const (
	prefix   = "rule_engine-"
	lockName = ".owner"
)

// A Dir is a temporary folder. The lock on a file in it says that its owner lives.
type Dir struct {
	Path string
	lock *os.File
}

// Make makes a folder below the machine's temporary one that other users can enter.
func Make(what string) (*Dir, error) {
	sweep()
	return create(os.TempDir(), what)
}

// MakeIn makes it in another folder, which it sweeps as well.
func MakeIn(folder, what string) (*Dir, error) {
	sweepNow(folder)
	return create(folder, what)
}

func create(folder, what string) (*Dir, error) {
	path, err := os.MkdirTemp(folder, prefix+what+"-")
	if err != nil {
		return nil, err
	}
	// Without links, since programs that run in there tell their folder so.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		// Waits, for a sweeper that has just found it may hold it for a moment.
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err == nil {
		err = os.Chmod(path, 0o755)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch folder: %w", err), os.RemoveAll(path))
	}
	return &Dir{Path: path, lock: lock}, nil
}

// For makes a folder for a test, removed at its end.
func For(t testing.TB, what string) string {
	t.Helper()
	dir, err := Make(what)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Remove(); err != nil {
			t.Error(err)
		}
	})
	return dir.Path
}

// Remove ends what still runs in the folder and removes it.
func (d *Dir) Remove() error {
	defer d.lock.Close()
	return remove(d.Path)
}

func remove(path string) error {
	// Waits because a killed process still writes for a moment.
	for deadline := time.Now().Add(time.Minute); process.KillBelow(path) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	return os.RemoveAll(path)
}

// sweep removes the folders of owners that are no more, once per process.
var sweep = sync.OnceFunc(func() { sweepNow(os.TempDir()) })

func sweepNow(folder string) {
	locks, _ := filepath.Glob(filepath.Join(folder, prefix+"*", lockName))
	for _, name := range locks {
		lock, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && settled(lock) {
			_ = remove(filepath.Dir(name))
		}
		lock.Close()
	}
}

// settled is false in the moment between a lock file's creation and its lock.
func settled(lock *os.File) bool {
	info, err := lock.Stat()
	return err == nil && time.Since(info.ModTime()) > time.Minute
}
