package publish

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/interrupt"
	"rule_engine/test/proxy"
)

// A weather is a way for NATS to be away.
type weather struct {
	name string
	// sets it in. In some a connection stood before, in others there was none.
	before bool
	sets   func(t *testing.T, b *bundle, line *proxy.Proxy)
	// code is the error_code that the first call answers with; none where it may or may not have noticed
	// before it sent.
	code string
	// waits says that a call waits in it until a time-out.
	waits bool
	// again says that each new connection stands until its first ack.
	again bool
}

const greeting = `INFO {"server_id":"x","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576`

func blackHole(_ *testing.T, _ *bundle, line *proxy.Proxy) { line.BlackHole() }

func freeze(t *testing.T, b *bundle, _ *proxy.Proxy) {
	require.NoError(t, b.nats.Freeze())
	t.Cleanup(func() { _ = b.nats.Thaw() })
}

func kill(t *testing.T, b *bundle, _ *proxy.Proxy) { require.NoError(t, b.nats.Kill()) }

func greet(with string) func(*testing.T, *bundle, *proxy.Proxy) {
	return func(_ *testing.T, _ *bundle, line *proxy.Proxy) { line.Greet(with) }
}

var weathers = []weather{
	{"refused", false, kill, "nats_away", false, false},
	{"ended at once", false, func(_ *testing.T, _ *bundle, line *proxy.Proxy) { line.Refuse(true) }, "nats_away", false, false},
	{"a server that is none", false, greet("HTTP/1.1 400 Bad Request\r\n\r\n"), "nats_away", false, false},
	{"half-open", false, func(_ *testing.T, _ *bundle, line *proxy.Proxy) {
		line.Judge(func(fromServer bool, _ []byte) proxy.Fate {
			if fromServer {
				return proxy.HalfClose
			}
			return proxy.Pass
		})
	}, "nats_away", false, false},
	{"a black hole", false, blackHole, "nats_away", true, false},
	{"a server that stands still", false, freeze, "nats_away", true, false},
	{"TLS that stalls", false, greet(greeting + `,"tls_required":true}` + "\r\n"), "nats_away", true, false},
	{"a server that only greets", false, greet(greeting + "}\r\n"), "nats_away", true, false},
	{"killed meanwhile", true, kill, "", false, false},
	{"a black hole meanwhile", true, blackHole, "no_answer", true, false},
	{"a server that stands still meanwhile", true, freeze, "no_answer", true, false},
	{"a reset and then a black hole", true, func(_ *testing.T, _ *bundle, line *proxy.Proxy) {
		line.BlackHole()
		line.Cut()
	}, "", false, false},
	{"a reset at the ack, each time", true, func(_ *testing.T, _ *bundle, line *proxy.Proxy) {
		line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
			if fromServer && isAck(piece) {
				return proxy.Reset
			}
			return proxy.Pass
		})
	}, "no_answer", false, true},
	{"nonsense for an ack, each time", true, func(_ *testing.T, _ *bundle, line *proxy.Proxy) {
		line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
			if fromServer && isAck(piece) {
				return proxy.Garble
			}
			return proxy.Pass
		})
	}, "no_answer", false, true},
}

// eachWaits are weathers in which every event waits, as no PING tells that NATS is away.
var eachWaits = []weather{
	{"each ack is lost", true, func(_ *testing.T, _ *bundle, line *proxy.Proxy) {
		line.Judge(func(fromServer bool, piece []byte) proxy.Fate {
			if fromServer && isAck(piece) {
				return proxy.Drop
			}
			return proxy.Pass
		})
	}, "no_answer", true, true},
}

// setupLine is a bundle whose NATS is behind a line.
func setupLine(t *testing.T) (*bundle, *proxy.Proxy) {
	t.Helper()
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	exec(t, b.admin, "UPDATE rule_nats_config SET nats_url = $1, reconnect_delay_ms = 100", line.URL())
	return b, line
}

func (b *bundle) heal(t *testing.T, w weather, line *proxy.Proxy) {
	t.Helper()
	if w.name == "refused" || w.name == "killed meanwhile" {
		require.NoError(t, b.nats.StartAgain())
	} else {
		require.NoError(t, b.nats.Thaw())
	}
	line.Heal()
	line.Cut()
}

func TestWhateverTheWeatherAnInsertGoesOnAndPaysOnce(t *testing.T) {
	for _, w := range weathers {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			b, line := setupLine(t)
			timeout := 5 * time.Second
			if w.again {
				timeout = 600 * time.Millisecond // which each event pays
			}
			exec(t, b.admin, fmt.Sprintf("UPDATE rule_nats_config SET connection_timeout_ms = %[1]d, publish_timeout_ms = %[1]d", timeout.Milliseconds()))
			exec(t, b.admin, `CREATE TABLE orders (id int);
				CREATE FUNCTION publish_order() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN PERFORM rule_webhook_call_unified(1, to_jsonb(NEW)); RETURN NEW; END $$;
				CREATE TRIGGER publish AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION publish_order()`)
			conn := b.session(t)
			if w.before {
				require.Eventually(t, func() bool { return b.publish(t, conn, nil)["success"] == true }, patience, 20*time.Millisecond)
			}
			w.sets(t, b, line)
			began := time.Now()
			answer := b.publish(t, conn, "first")
			require.Contains(t, []any{"nats_away", "no_answer"}, answer["error_code"], "%v", answer)
			if w.code != "" {
				require.Equal(t, w.code, answer["error_code"], "%v", answer)
			}
			require.Equal(t, answer["error_code"] == "no_answer", answer["unknown"])
			exec(t, conn, "INSERT INTO orders SELECT generate_series(1, 50)")
			spent := time.Since(began)
			t.Logf("51 events in %v; first: %v", spent.Round(time.Millisecond), answer["error"])
			if !w.again {
				require.Less(t, spent, 2*timeout)
			}
			require.Equal(t, 50, b.count(t, "SELECT count(*) FROM orders"))

			b.heal(t, w, line)
			require.Eventually(t, func() bool { return b.publish(t, conn, nil)["success"] == true },
				patience, 20*time.Millisecond, "the session publishes again by itself")
			// What did not get through waits in the queue, and only that.
			require.Zero(t, b.count(t, `SELECT count(*) FROM rule_nats_publish_history h
				WHERE h.success = EXISTS (SELECT FROM rule_webhook_queue q WHERE q.message_id = h.message_id)`))
		})
	}
}

func TestWhateverTheWeatherAWaitIsInterruptible(t *testing.T) {
	for _, w := range slices.Concat(weathers, eachWaits) {
		if !w.waits {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			b, line := setupLine(t)
			exec(t, b.admin, "UPDATE rule_nats_config SET connection_timeout_ms = 600000, publish_timeout_ms = 600000")
			conn := b.session(t)
			if w.before {
				require.Equal(t, true, b.publish(t, conn, nil)["success"])
			}
			w.sets(t, b, line)
			publish := func() error {
				_, err := conn.Exec(context.Background(), `SELECT rule_webhook_publish_nats($1, '{"n": 2}')`, b.webhook)
				return err
			}
			interrupt.Promptly(t, "a cancel", func() time.Duration {
				done := make(chan error, 1)
				go func() { done <- publish() }()
				b.waiting(t, conn.PgConn().PID())
				began := time.Now()
				exec(t, b.admin, "SELECT pg_cancel_backend($1)", conn.PgConn().PID())
				require.ErrorContains(t, <-done, "57014")
				return time.Since(began)
			})
			const timeout = 50 * time.Millisecond
			// Of the publish alone: another statement could run into it, too.
			timed := fmt.Sprintf(`BEGIN; SET LOCAL statement_timeout = %d; SELECT rule_webhook_publish_nats(%d, '{"n": 2}')`, timeout.Milliseconds(), b.webhook)
			interrupt.Promptly(t, "statement_timeout", func() time.Duration {
				began := time.Now()
				_, err := conn.Exec(context.Background(), timed)
				took := time.Since(began) - timeout
				require.ErrorContains(t, err, "57014")
				exec(t, conn, "ROLLBACK")
				return took
			})

			b.heal(t, w, line)
			require.Eventually(t, func() bool { return b.publish(t, conn, nil)["success"] == true },
				patience, 20*time.Millisecond, "the session goes on")
		})
	}
}

func TestASlowLineIsOnlySlow(t *testing.T) {
	b, line := setupLine(t)
	line.Delay(50 * time.Millisecond)
	conn := b.session(t)
	for range 3 {
		began := time.Now()
		answer := b.publish(t, conn, nil)
		require.Equal(t, true, answer["success"], "%v", answer)
		require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	}
	require.EqualValues(t, 3, b.stored(t))
}
