package publish

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A socket is a line of /proc/net/tcp.
type socket struct {
	local, remote int // ports
	unread        int // bytes
	established   bool
	inode         string
}

// sockets are those of this machine.
func sockets(t *testing.T) []socket {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	var all []socket
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		f := strings.Fields(line)
		if len(f) < 10 || f[1] == "local_address" {
			continue
		}
		hex := func(s string) int {
			n, err := strconv.ParseInt(s[strings.LastIndexByte(s, ':')+1:], 16, 64)
			require.NoError(t, err)
			return int(n)
		}
		all = append(all, socket{local: hex(f[1]), remote: hex(f[2]), unread: hex(f[4]), established: f[3] == "01", inode: f[9]})
	}
	return all
}

// unread is how many bytes the server that listens on a port has been sent and has not read.
func unread(t *testing.T, port int) (n int) {
	t.Helper()
	for _, s := range sockets(t) {
		if s.local == port && s.established {
			n += s.unread
		}
	}
	return n
}

// connections counts those of a process to a port.
func connections(t *testing.T, pid uint32, port int) (n int) {
	t.Helper()
	for _, s := range socketsTo(t, pid, port) {
		if s.established {
			n++
		}
	}
	return n
}

// held counts the sockets of a process to a port, also those that the other side has closed.
func held(t *testing.T, pid uint32, port int) int {
	t.Helper()
	return len(socketsTo(t, pid, port))
}

func socketsTo(t *testing.T, pid uint32, port int) (all []socket) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	held := map[string]bool{}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			held[target] = true
		}
	}
	for _, s := range sockets(t) {
		if s.remote == port && held["socket:["+s.inode+"]"] {
			all = append(all, s)
		}
	}
	return all
}

// cpu is what a process has used so far.
func cpu(t *testing.T, pid uint32) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	// utime and stime are fields 14 and 15, counted after the command's name in brackets; in ticks of 10 ms.
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(f[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(f[12])
	require.NoError(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}
