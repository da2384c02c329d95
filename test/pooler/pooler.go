// Package pooler runs pgbouncer in front of a cluster, in transaction mode: many clients share few
// backends, and each backend is reset after each transaction.
package pooler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rule_engine/test/port"
	"rule_engine/test/postgres"
	"rule_engine/test/process"
	"rule_engine/test/scratch"
)

const patience = time.Minute

// A Pooler runs for the length of a test.
type Pooler struct {
	Port     int
	database string
	log      string
}

// Run starts one for a database and these logins; of each there are at most size backends.
func Run(t testing.TB, c *postgres.Cluster, database string, size int, logins ...string) *Pooler {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	held := port.Run(t)
	dir := scratch.For(t, "pgbouncer")
	p := &Pooler{Port: held.Number, database: database, log: filepath.Join(dir, "log")}
	var users strings.Builder
	for _, login := range logins {
		fmt.Fprintf(&users, "%q \"\"\n", login)
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "users"), []byte(users.String()), 0o644),
		os.WriteFile(ini, []byte(fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]d dbname=%[1]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = trust
auth_file = %[5]s/users
pool_mode = transaction
default_pool_size = %[6]d
max_client_conn = 500
server_reset_query = DISCARD ALL
server_reset_query_always = 1
`, database, c.Socket(), c.Port, held.Number, dir, size)), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{ini}
	if os.Geteuid() == 0 {
		args = []string{"-u", "postgres", ini} // it refuses to be root
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := process.Start(cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pgbouncer's log:\n%s", p.Log())
		}
	})
	p.waitUntilReady(t, logins[0])
	return p
}

// find looks where Debian puts it, too, which is not on everybody's PATH.
func find() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no pgbouncer here: scripts/need pgbouncer installs it")
}

func (p *Pooler) waitUntilReady(t testing.TB, login string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := p.connect(t.Context(), login)
		if err == nil {
			_ = conn.Close(t.Context())
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not answer: %v\n%s", err, p.Log())
		}
	}
}

// Log is all that it has printed.
func (p *Pooler) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *Pooler) connect(ctx context.Context, login string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d dbname=%s user=%s sslmode=disable", p.Port, p.database, login))
	if err != nil {
		return nil, err
	}
	// A statement prepared in one backend is not there in the next.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// Connect connects a client for the length of a test.
func (p *Pooler) Connect(t testing.TB, login string) *pgx.Conn {
	t.Helper()
	conn, err := p.connect(t.Context(), login)
	if err != nil {
		t.Fatalf("connecting to pgbouncer: %v\n%s", err, p.Log())
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}
