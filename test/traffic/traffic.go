package traffic

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/system"
)

// pause is what a session leaves between two transactions.
const pause = 20 * time.Millisecond

// A Traffic goes from Start to Stop.
type Traffic struct {
	system  *system.System
	webhook int32
	// rough says that sessions cancel themselves and that connections may break.
	rough bool

	end      context.CancelFunc
	sessions sync.WaitGroup
	began    time.Time

	watch watch

	mu                    sync.Mutex
	committed, rolledBack int
	failed                []error
}

// Start lets so many sessions publish to a webhook. What each commits stands in the table written,
// too. In rough traffic a session that lost its connection takes another, and cancels statements.
func Start(t testing.TB, s *system.System, webhook int32, sessions int, rough bool) *Traffic {
	t.Helper()
	admin := s.Postgres.Connect(t, system.Database, system.Administrator)
	_, err := admin.Exec(t.Context(), "CREATE TABLE written (id text PRIMARY KEY); GRANT INSERT ON written TO "+system.Application)
	require.NoError(t, err)
	ctx, end := context.WithCancel(context.Background())
	tr := &Traffic{system: s, webhook: webhook, rough: rough, end: end, began: time.Now()}
	for i := range sessions {
		tr.sessions.Go(func() { tr.publishAll(ctx, i) })
	}
	t.Cleanup(tr.stop)
	return tr
}

func (tr *Traffic) stop() {
	tr.end()
	tr.sessions.Wait()
}

// Stop ends it after the transactions under way, and says how it went.
func (tr *Traffic) Stop(t testing.TB) {
	t.Helper()
	tr.stop()
	require.Empty(t, tr.failed)
	t.Logf("%d events committed and %d rolled back in %v; %s", tr.committed, tr.rolledBack,
		time.Since(tr.began).Round(time.Second), tr.watch.all)
	require.Positive(t, tr.committed)
	require.Positive(t, tr.rolledBack)
}

// publishAll is one session's life: until ctx ends it publishes, and finishes what it has begun.
func (tr *Traffic) publishAll(ctx context.Context, session int) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = tr.connect(); err != nil {
				if !tr.rough {
					tr.trouble(err)
				}
				continue
			}
		}
		if err := tr.transaction(conn, fmt.Sprintf("s%d-%d", session, n), kindOf(n)); err != nil {
			tr.trouble(err)
		}
	}
}

func (tr *Traffic) connect() (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return pgx.Connect(ctx, tr.system.Postgres.DSN(system.Database, system.Application))
}

// trouble notes an error, but for one that rough traffic makes.
func (tr *Traffic) trouble(err error) {
	if tr.rough && !isOurs(err) {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failed = append(tr.failed, err)
}

func (tr *Traffic) ended(committed bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if committed {
		tr.committed++
	} else {
		tr.rolledBack++
	}
}
