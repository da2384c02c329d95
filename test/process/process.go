// Package process starts programs that do not outlive the test that started them.
package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// starter runs functions on one thread that lives as long as this process. The kernel sends a
// child's parent-death signal when the thread that made it ends, and Go ends threads as it likes.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// Start starts cmd. It gets the signal when this process dies, however it dies, and stands in a
// process group of its own, so that a Ctrl-C reaches it through us only, in our order.
func Start(cmd *exec.Cmd, onParentDeath syscall.Signal) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = onParentDeath
	cmd.SysProcAttr.Setpgid = true
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	return <-started
}

// Below lists the processes whose working folder is dir or lies in it. PostgreSQL's children make
// sessions of their own, so no process group holds them, but all stay in the data directory.
func Below(dir string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range links {
		// A removed folder is still named, with a mark behind it.
		cwd, err := os.Readlink(link)
		cwd = strings.TrimSuffix(cwd, " (deleted)")
		if err != nil || (cwd != dir && !strings.HasPrefix(cwd, dir+"/")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// KillBelow kills what Below lists and returns how many there were. What runs in a scratch folder
// was started by us, directly or not.
func KillBelow(dir string) int {
	pids := Below(dir)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(pids)
}
