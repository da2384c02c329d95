package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/page"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

const recipes = "docs/recipes.md"

// patience bounds a test that waits in vain.
const patience = time.Minute

// A past is a system in which things have gone well and badly.
type past struct {
	*system.System
	admin *pgx.Conn
}

func (p *past) must(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := p.admin.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

// until waits for a condition in SQL.
func (p *past) until(t *testing.T, condition string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var holds bool
		require.NoError(t, p.admin.QueryRow(t.Context(), "SELECT "+condition).Scan(&holds), condition)
		if holds {
			return
		}
		require.False(t, time.Now().After(deadline), condition)
	}
}

func (p *past) webhook(t *testing.T, name, mode string) int32 {
	t.Helper()
	id, err := p.Register(t.Context(), p.admin, name, mode)
	require.NoError(t, err)
	p.must(t, "UPDATE rule_webhooks SET max_retries = 0, give_up_after = '0' WHERE webhook_id = $1", id)
	return id
}

func (p *past) publish(t *testing.T, id int32, messageID string) {
	t.Helper()
	p.must(t, "SELECT rule_webhook_call_unified($1, '{}', $2)", id, messageID)
}

// withPast makes each thing happen that a recipe looks for.
func withPast(t *testing.T) *past {
	t.Helper()
	s := system.Run(t)
	p := &past{System: s, admin: s.Postgres.Connect(t, system.Database, system.Administrator)}
	p.must(t, "CREATE ROLE administrator LOGIN IN ROLE rule_engine_admin")
	p.must(t, "GRANT CREATE ON SCHEMA public TO administrator")
	s.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
		if r.ID() == "refused" {
			return endpoint.Answer{Status: 500}
		}
		return endpoint.Answer{}
	})
	worker.Run(t, s.WorkerEnv("CONSUMER_NAME=living")...)

	orders := p.webhook(t, "orders", "nats")
	p.publish(t, orders, "order-2-created")
	p.publish(t, orders, "refused")
	p.must(t, "BEGIN")
	p.publish(t, orders, "rolled-back")
	p.must(t, "ROLLBACK")
	p.until(t, "(SELECT count(*) = 1 FROM rule_webhook_attempts WHERE outcome = 'delivered')")
	p.until(t, "(SELECT count(*) = 1 FROM rule_webhook_dead_letters)")
	p.until(t, "(SELECT count(*) = 1 FROM rule_webhook_drops)")
	// As a worker that was killed would have it.
	p.must(t, `INSERT INTO rule_webhook_attempts (webhook_id, message_id, try, path, worker, started_at, outcome)
		SELECT $1, 'twice', n, 'stream', 'killed', now(), 'delivered' FROM generate_series(1, 2) n`, orders)
	p.must(t, "SELECT rule_nats_consumer_update_stats('WEBHOOKS', 'killed', 1, 0, 0)")
	p.must(t, "UPDATE rule_nats_consumer_stats SET last_active_at = now() - interval '10 minutes' WHERE consumer_name = 'killed'")
	p.until(t, "(SELECT count(*) = 2 FROM rule_nats_consumer_stats)")

	p.publish(t, p.webhook(t, "slow", "nats"), "slow")
	p.must(t, "UPDATE rule_nats_publish_history SET latency_ms = 500 WHERE message_id = 'slow'")
	held := p.webhook(t, "held", "queue")
	p.must(t, "SELECT rule_webhook_hold($1, 'maintenance')", held)
	p.must(t, "SELECT rule_webhook_enqueue($1, '{}', p_scheduled_at => now() - interval '1 hour')", held)
	s.NATS.Stop()
	// A session whose connection breaks in this moment would have sent it, and say that no ack came.
	p.admin = s.Postgres.Connect(t, system.Database, system.Administrator)
	p.publish(t, p.webhook(t, "unlucky", "nats"), "unlucky")
	require.NoError(t, s.NATS.StartAgain())
	return p
}

func TestEveryRecipeRunsAndFindsWhatItLooksFor(t *testing.T) {
	t.Parallel()
	p := withPast(t)
	blocks, err := page.Blocks(recipes, "sql")
	require.NoError(t, err)
	// One session, as a reader's: the first block sets what the others use.
	var script strings.Builder
	script.WriteString("\\pset format unaligned\n\\pset tuples_only on\n\\set VERBOSITY default\n")
	for i, block := range blocks {
		fmt.Fprintf(&script, "\\echo the answer of %d\n%s", i, block.Code)
	}
	file := filepath.Join(t.TempDir(), "recipes.sql")
	require.NoError(t, os.WriteFile(file, []byte(script.String()), 0o600))
	said, err := p.Postgres.Psql(system.Database, administrator, t.TempDir(), "--file="+file)
	require.NoError(t, err, said)

	answers := map[string]string{}
	for i, block := range blocks {
		_, after, _ := strings.Cut(said, fmt.Sprintf("the answer of %d\n", i))
		answers[block.Code], _, _ = strings.Cut(after, "the answer of ")
	}
	// found are lines of the answer to the only block that has this text.
	found := func(text string, lines ...string) {
		t.Helper()
		var of []string
		for code, answer := range answers {
			if strings.Contains(code, text) {
				of = append(of, answer)
			}
		}
		require.Len(t, of, 1, text)
		for _, line := range lines {
			require.Regexp(t, "(?m)^"+line+"$", of[0])
		}
	}
	found(`'{"order": 1}'`, `\{"nats": \{.*"success": true.*`)
	found(`'{"order": 2}'`, `\{.*"message_id": "order-2-created".*`)
	found(`'{"order": 4}'`, `true\|\|`)
	found(`FROM rule_nats_config;`, `default\|nats://127.0.0.1:\d+\|t\|WEBHOOKS\|10\|t`, `\d+\|orders\|nats\|t\|webhooks.orders`)
	found(`AS connected`, "true", `WEBHOOKS\|\d+\|[0-9.]+\|`)
	found(`* FROM nats_publish_summary;`, `.*\|orders\|webhooks.orders\|nats\|.*`, `.*NATS is away.*`, `slow\|webhooks.slow\|1\|500.00\|.*`)
	found(`retrying_calls`, `orders\|\d+\|[3-9]\|1\|.*`, `orders\|[4-9]\|[0-9.]+\|[0-9.]+\|[0-9.]+`)
	found(`interval '1 minute'`, `living\|.*`)
	found(`overdue_by`, `held\|1\|01:0.*`)
	found(`success_rate_pct < 95`, `unlucky\|1\|1\|0.00`, `NATS is away: .*\|1`)
	found(`avg_latency_ms > 100`, `slow\|webhooks.slow\|500.00\|500`)
	found(`webhook_recent_failures LIMIT 10`, `orders\|failed\|1\|500\|`, `orders\|500\|\|1\|.*`)
	found(`AS tried_again`, "1")
	found(`AS seconds_inactive`, `killed\|.*\|6\d\d`)
	found(`s.delivery_state`, `orders\|active\|\|nats\|webhooks.orders`, `WEBHOOKS\|\{webhooks.>\}\|workqueue\|t`, `rolled back\|1\|.*`)
	found(`'try ' || try`, `.*\|published\|sequence 1`, `.*\|try 1 by living\|delivered 200`)
	found(`HAVING count(*) > 1`, `twice\|2`)
	found(`max_connections = 2`, "connected")
	found(`'METRICS', '{metrics.>}'`, "connected")
	found(`AS seconds_to_delivery`, `\d+\|\d+\|100.00\|.*`)

	// The trigger of the page publishes, by now into the queue, since the page ends with the way back to it.
	p.must(t, "INSERT INTO recipe_orders VALUES (9, 'new', 'secret')")
	p.until(t, `(SELECT count(*) = 1 FROM rule_webhook_queue WHERE payload -> 'new' = '{"order_id": 9, "status": "new"}')`)
	p.until(t, `(SELECT (retention_policy, storage_type, discard_policy, max_age_seconds) = ('workqueue', 'memory', 'new', 0)
		FROM rule_nats_streams WHERE stream_name = 'METRICS')`)
}
