package hazards

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Postgres' handlers are written for its only thread: none of them may run on one of Go's. (Go
// leaves SIGCHLD open, which a backend does not handle.)
var ofPostgres = []syscall.Signal{syscall.SIGURG, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPIPE}

func TestEveryThreadOfGoBlocksTheSignalsOfPostgres(t *testing.T) {
	b := setup(t)
	b.refuseHistory(t)
	plain := b.session(t)
	before := signals(t, statusOf(plain.pid), "SigBlk")
	s := b.session(t)
	require.Empty(t, threads(t, s.pid))
	look := func(when string) {
		t.Helper()
		list := threads(t, s.pid)
		require.NotEmpty(t, list, "threads of Go "+when)
		for _, path := range list {
			blocked := signals(t, path, "SigBlk")
			for _, signal := range ofPostgres {
				require.Truef(t, blocked.has(signal), "%s: %s leaves %v open", when, path, signal)
			}
		}
		require.Equal(t, before, signals(t, statusOf(s.pid), "SigBlk"), "the main thread's mask "+when)
	}
	s.fails(t, refusedState, s.publishSQL())
	look("after an error below Go")
	b.takeHistory(t)
	s.publish(t, nil)
	look("after a publish")
	s.fails(t, "22012", "SELECT 1 / 0")
	look("after an error")
	s.fails(t, "42704", "SELECT rule_webhook_publish_nats(-1, '{}')")
	look("after an error of Go's")
	for range 200 {
		s.publish(t, nil)
	}
	look("after many publishes")
}

// setxid is glibc's own, which it handles in any process that has threads.
const setxid = syscall.Signal(33)

// Go takes over the handlers of SIGURG, SIGPIPE, SIGFPE and more. It needs two: with them a nil
// dereference in Go becomes an error.
func TestPostgresKeepsItsSignalHandlers(t *testing.T) {
	b := setup(t)
	plain := b.session(t)
	s := b.sessionWithGo(t)
	// Go has a handler for this one too.
	done := s.start("SELECT pg_sleep(60)")
	s.awaits(t, b.admin, "Timeout")
	require.NoError(t, syscall.Kill(s.pid, syscall.SIGFPE))
	requireState(t, "22P01", endOf(done, prompt))
	s.publish(t, nil)

	for _, set := range []string{"SigCgt", "SigIgn"} {
		before := signals(t, statusOf(plain.pid), set)
		now := signals(t, statusOf(s.pid), set).without(syscall.SIGSEGV, syscall.SIGBUS, setxid)
		require.Equal(t, before, now, "%s was %v, is %v", set, before, now)
	}
}

// A handler that ran while the backend's thread is in Go would find a goroutine's stack below it.
func TestNoHandlerRunsWhileTheBackendIsInGo(t *testing.T) {
	b := setupProbes(t)
	s := b.sessionWithGo(t)
	status := s.fails(t, "XX000", "SELECT rule_webhook_publish_nats($1, '{}', 'mask')", b.webhook).Message
	blocked := signalsIn(t, status, "SigBlk")
	for _, signal := range ofPostgres {
		require.Truef(t, blocked.has(signal), "%v is open in Go", signal)
	}
	for _, signal := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE} {
		require.Falsef(t, blocked.has(signal), "%v is blocked in Go, which would make a panic of it", signal)
	}
}

// A signal that the backend's thread has blocked goes to any other that has it open, and there
// Postgres' handler runs on the stack of a goroutine.
func TestSignalsThatArriveWhileGoRunsDoNoHarm(t *testing.T) {
	b := setup(t)
	s := b.sessionWithGo(t)
	stop := make(chan struct{})
	sent := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sent <- n
				return
			default:
				_ = syscall.Kill(s.pid, syscall.SIGUSR1)
				for until := time.Now().Add(10 * time.Microsecond); time.Now().Before(until); {
				}
			}
		}
	}()
	published := 0
	var err error
	for end := time.Now().Add(3 * time.Second); err == nil && time.Now().Before(end); published++ {
		// Large, so that Go collects garbage often.
		err = s.try("SELECT rule_webhook_publish_nats($1, jsonb_build_object('large', repeat('x', 100000)))", b.webhook)
	}
	close(stop)
	t.Logf("%d publishes under %d signals", published, <-sent)
	require.NoErrorf(t, err, "publish %d under signals", published)
	handOffs(t, b.admin, s, 20, "")
}
