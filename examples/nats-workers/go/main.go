package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is reported to the database. The build may set it.
var version = "0.2.0"

var userAgent = "rule_engine-webhook-worker/" + version

func main() {
	collectLess(os.Getenv)
	os.Exit(run(os.Getenv))
}

const (
	gcPercent   = 400
	memoryLimit = 512 << 20
)

// collectLess spares the collector work. Little of what a worker allocates
// lives for long, and by Go's default a heap of a few MB is collected many
// times a second. Near the limit it is as thorough as it was.
func collectLess(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// run answers the process's exit code: 0 after a signal, 2 for a configuration
// that cannot work, said in one line.
func run(getenv func(string) string) int {
	cfg, err := readConfig(getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, oneLine(err.Error()))
		return 2
	}
	logTo(cfg, os.Stderr)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	w := newWorker(cfg)
	monitor, err := startMonitor(ctx, w)
	if err == nil {
		err = w.run(ctx)
		monitor.close()
	}
	var wrong *configError
	if errors.As(err, &wrong) {
		fmt.Fprintln(os.Stderr, oneLine(wrong.Error()))
		return 2
	}
	if err != nil {
		slog.Error("stopped", "error", oneLine(err.Error()))
		return 1
	}
	return 0
}
