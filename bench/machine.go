package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// describe prints what the figures were measured on.
func (s *setup) describe(ctx context.Context, out io.Writer) error {
	var version, settings, extension string
	err := s.conn.QueryRow(ctx, `SELECT current_setting('server_version'),
			(SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
			 WHERE name IN ('fsync', 'full_page_writes', 'max_wal_size', 'shared_buffers', 'synchronous_commit', 'jit', 'wal_level')),
			(SELECT extversion FROM pg_extension WHERE extname = 'rule_engine')`).Scan(&version, &settings, &extension)
	if err != nil {
		return err
	}
	held, err := s.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	config := held.CachedInfo().Config
	var load string
	if read, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(read))[:3], " ")
	}
	fmt.Fprintf(out, "Measured by `make bench` on %s, load average before it %s.\n\n", time.Now().UTC().Format(time.DateOnly), load)
	table(out, []string{"on", "what"}, [][]string{
		{"machine", fmt.Sprintf("%d cores, %s, %.0f GB of memory", runtime.NumCPU(), lineOf("/proc/cpuinfo", "model name"), number(strings.TrimSuffix(lineOf("/proc/meminfo", "MemTotal"), " kB"))/1e6)},
		{"system", fmt.Sprintf("Linux %s on %s; servers' files on %s", kernel(), runtime.GOARCH, fileSystem(s.cluster.Data))},
		{"rule_engine", extension + ", " + runtime.Version()},
		{"PostgreSQL", version + ", over its Unix socket; " + settings},
		{"NATS", fmt.Sprintf("nats-server %s in a process of its own, over loopback", s.client.ConnectedServerVersion())},
		{"stream", fmt.Sprintf("%s: %s storage, %d replica, retention %s, duplicate window %s; sync_interval is the server's default",
			config.Name, strings.ToLower(config.Storage.String()), config.Replicas, strings.ToLower(config.Retention.String()), config.Duplicates)},
		{"clients", "nats.go " + moduleVersion("github.com/nats-io/nats.go") + ", pgx " + moduleVersion("github.com/jackc/pgx/v5")},
		{"event", fmt.Sprintf("%d bytes of JSON, with the headers of the wire format", len(s.payload))},
	})
	return nil
}

func lineOf(file, name string) string {
	read, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(read)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "unknown"
}

func kernel() string {
	read, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(read))
}

// fileSystem names the type of what a folder lies on: a commit's price depends on it.
func fileSystem(folder string) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return "unknown"
	}
	names := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs", 0x2fc12fc1: "zfs"}
	if name, ok := names[int64(stat.Type)]; ok {
		return name
	}
	return fmt.Sprintf("file system type %#x", stat.Type)
}

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == path {
				return dep.Version
			}
		}
	}
	return "unknown"
}

// number reads one that the kernel wrote.
func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}
