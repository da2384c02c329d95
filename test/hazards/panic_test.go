package hazards

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/postgres"
)

// A panic that nobody recovers ends the backend by a signal, and with it every session of the
// server. Go is made to panic by a build with probes in it (build.go).

// setupProbes is setup on the tree whose Go library has probes.
func setupProbes(t *testing.T) *bundle {
	t.Helper()
	tree, err := probedTree()
	require.NoError(t, err)
	t.Setenv(postgres.RootEnv, tree)
	return setup(t)
}

func TestAPanicInAnEntryIsAnError(t *testing.T) {
	b := setupProbes(t)
	s := b.sessionWithGo(t)
	for _, probe := range []string{"panic", "index", "nil map", "divide", "panic in step"} {
		t.Run(probe, func(t *testing.T) { survivesAnError(t, b, s, probe) })
	}
}

// It is a SIGSEGV first, which Go turns into a panic.
func TestANilDereferenceIsAnError(t *testing.T) {
	b := setupProbes(t)
	s := b.sessionWithGo(t)
	survivesAnError(t, b, s, "nil")
	survivesAnError(t, b, s, "nil in step")
}

func survivesAnError(t *testing.T, b *bundle, s *session, probe string) {
	t.Helper()
	for range 20 {
		err := s.fails(t, "XX000", "SELECT rule_webhook_publish_nats($1, '{}', $2)", b.webhook, probe)
		require.Contains(t, err.Message, "rule_engine: panic")
		require.NotEmpty(t, err.Hint)
		s.publish(t, nil)
	}
	b.admin.do(t, "SELECT 1")
	s.do(t, "SELECT 1")
	handOffs(t, b.admin, s, 10, "")
}

func TestAPanicInAGoroutineIsAFailedOutcome(t *testing.T) {
	b := setupProbes(t)
	s := b.sessionWithGo(t)
	for _, probe := range []string{"panic in goroutine", "nil in goroutine"} {
		t.Run(probe, func(t *testing.T) {
			for range 20 {
				var success bool
				var answer string
				require.NoError(t, s.publishing(probe, &success, &answer))
				require.False(t, success, answer)
				require.Contains(t, answer, `"error_code": "internal"`)
				s.publish(t, nil)
			}
			b.admin.do(t, "SELECT 1")
		})
	}
	t.Run("health check", func(t *testing.T) {
		s.do(t, "INSERT INTO rule_nats_config (config_name) VALUES ('panic')")
		var success bool
		require.NoError(t, s.QueryRow(t.Context(), "SELECT (rule_nats_health_check('panic') ->> 'success')::boolean",
			pgx.QueryExecModeExec).Scan(&success))
		require.False(t, success)
		s.publish(t, nil)
	})
}
