// Package program builds the Go programs that tests run as processes of their own.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// BinEnv names the folder of a run that holds the programs it has built: what lies there is used
// as it is. Without it each test process builds anew, into the folder of the build.
const BinEnv = "RULE_ENGINE_TEST_BIN"

// Repository is the folder of the whole repository.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

var (
	mutex sync.Mutex
	built = map[string]string{}
)

// Build builds the package in folder (relative to the repository) as name and returns its path.
func Build(name, folder string) (string, error) {
	mutex.Lock()
	defer mutex.Unlock()
	if path, ok := built[name]; ok {
		return path, nil
	}
	path, err := build(name, folder)
	if err == nil {
		built[name] = path
	}
	return path, err
}

func build(name, folder string) (string, error) {
	bin, ofRun := os.LookupEnv(BinEnv)
	if !ofRun {
		bin = filepath.Join(Repository(), "build", "test-bin")
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(bin, name)
	// The processes of a run wait here for the one that builds.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil && ofRun {
		return path, nil
	}
	cmd := exec.Command(filepath.Join(Repository(), "scripts", "go"), "build", "-o", path+".new", ".")
	cmd.Dir = filepath.Join(Repository(), folder)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", folder, err, output)
	}
	// A rename leaves alone what still runs from the old file.
	return path, os.Rename(path+".new", path)
}
