package settings

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/port"
	"rule_engine/test/proxy"
)

// deadPort is an address where nothing listens.
func deadPort(t *testing.T) string {
	t.Helper()
	return "nats://" + port.Run(t).Addr()
}

func TestADeadServerIsSkipped(t *testing.T) {
	b := setup(t)
	live := b.nats.URL()
	b.set(t, "nats_url = $1", deadPort(t)+" , "+live)
	b.works(t)
	b.set(t, "nats_url = $1, nats_cluster_urls = ARRAY[$2, $3]", deadPort(t), deadPort(t), live)
	b.works(t)
}

func TestASilentServerIsSkippedWithinTheConnectionTimeout(t *testing.T) {
	b := setup(t)
	silent := proxy.Run(t, b.nats.URL())
	silent.BlackHole()
	b.set(t, "nats_url = $1, nats_cluster_urls = ARRAY[$2], connection_timeout_ms = 10000", silent.URL(), b.nats.URL())
	began := time.Now()
	b.works(t)
	require.Less(t, time.Since(began), 9*time.Second, "half of the time-out is the silent server's share")
}

func TestSeveralServersBehindASlowLineAreReachedAllTheSame(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	line.Delay(100 * time.Millisecond)
	// A share of 200 ms is too little for any of them.
	b.set(t, "nats_url = $1, connection_timeout_ms = 600", line.URL()+","+line.URL()+","+line.URL())
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}

func TestAChangedConfigurationIsTakenAtOnceWhileTheOldOneHangs(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.set(t, "nats_url = $1, reconnect_delay_ms = 10", line.URL())
	b.works(t)
	line.BlackHole()
	line.Cut()
	require.Eventually(t, func() bool { return line.Accepted() > 1 }, patience, 10*time.Millisecond, "it dials")
	began := time.Now()
	require.Equal(t, "nats_away", b.publish(t)["error_code"])
	b.set(t, "nats_url = $1", b.nats.URL())
	b.works(t)
	require.Less(t, time.Since(began), quick)
}

func TestTheNextServerTakesOver(t *testing.T) {
	b := setup(t)
	second := natsserver.Run(t)
	b.set(t, "nats_url = $1, nats_cluster_urls = ARRAY[$2], reconnect_delay_ms = 100", b.nats.URL(), second.URL())
	b.works(t)
	b.nats.Stop()
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}

func TestAServerThatGoesSilentIsReplacedWithinThePublishTimeoutWhereTwoConnectionsAreAllowed(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.set(t, `nats_url = $1, nats_cluster_urls = ARRAY[$2], publish_timeout_ms = 8000, connection_timeout_ms = 8000`,
		line.URL(), b.nats.URL())
	b.works(t)
	line.BlackHole()
	answer := b.publish(t)
	require.Equal(t, true, answer["success"], "%v", answer)
	b.set(t, "max_connections = 1, nats_url = $1", line.URL())
	line.Heal()
	line.Cut()
	b.works(t)
	line.BlackHole()
	answer = b.publish(t)
	require.Equal(t, "no_answer", answer["error_code"], "%v", answer)
}

func TestHealthFindsTheWayPastAConnectionThatWentSilent(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.set(t, "nats_url = $1, connection_timeout_ms = 10000", line.URL())
	b.works(t)
	line.Swallow()
	began := time.Now()
	health := b.health(t)
	require.Equal(t, true, health["connected"], "%v", health)
	require.Less(t, time.Since(began), quick)
	require.EqualValues(t, 1, health["pool_stats"].(map[string]any)["healthy_connections"])
	require.EqualValues(t, 100, health["pool_stats"].(map[string]any)["health_percentage"])
}

func TestAMalformedURLIsRefusedWhenItIsSet(t *testing.T) {
	b := setup(t)
	_, err := b.conn.Exec(t.Context(), "UPDATE rule_nats_config SET nats_url = $1", "nats://user:"+secret+"@host:port")
	require.ErrorContains(t, err, "nats_url is malformed")
	require.NotContains(t, fmt.Sprintf("%+v", err), secret)
	_, err = b.conn.Exec(t.Context(), "UPDATE rule_nats_config SET nats_cluster_urls = '{http://host}'")
	require.ErrorContains(t, err, "nats_cluster_urls is malformed")
}

func TestTheConnectionTimeoutIsPaidOnce(t *testing.T) {
	b := setup(t)
	silent := proxy.Run(t, b.nats.URL())
	silent.BlackHole()
	b.set(t, "nats_url = $1, connection_timeout_ms = 2000", silent.URL())
	began := time.Now()
	answer := b.publish(t)
	require.GreaterOrEqual(t, time.Since(began), 1900*time.Millisecond)
	require.Less(t, time.Since(began), quick)
	require.Contains(t, answer["error"], "timed out")
	began = time.Now()
	for range 20 {
		require.Equal(t, "nats_away", b.publish(t)["error_code"])
	}
	require.Less(t, time.Since(began), quick)
}

func TestThePublishTimeoutLimitsTheWaitForAnAck(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.set(t, "nats_url = $1, publish_timeout_ms = 2000", line.URL())
	b.works(t)
	line.BlackHole()
	began := time.Now()
	answer := b.publish(t)
	require.GreaterOrEqual(t, time.Since(began), 1900*time.Millisecond)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, "no_answer", answer["error_code"], "%v", answer)
	require.Equal(t, true, answer["unknown"])
}

func TestTheReconnectDelayKeepsASessionFromHammering(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	const delay = 400 * time.Millisecond
	// A publish that is on its way when the connection breaks waits so long for another.
	b.set(t, "nats_url = $1, reconnect_delay_ms = $2, publish_timeout_ms = 8000", line.URL(), delay.Milliseconds())
	b.works(t)
	before, began := line.Accepted(), time.Now()
	line.Refuse(true)
	line.Cut()
	for tries := 0; time.Since(began) < 2*time.Second || tries < 2; time.Sleep(20 * time.Millisecond) {
		b.publish(t)
		tries = line.Accepted() - before
		require.LessOrEqual(t, tries, 1+int(time.Since(began)/delay), "one try each 400 ms")
		require.Less(t, time.Since(began), patience)
	}
	line.Heal()
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}

func TestAfterTheReconnectLimitOnlyAPublishTries(t *testing.T) {
	b := setup(t)
	line := proxy.Run(t, b.nats.URL())
	b.set(t, "nats_url = $1, reconnect_delay_ms = 50, max_reconnect_attempts = 2", line.URL())
	b.works(t)
	before := line.Accepted()
	line.Refuse(true)
	line.Cut()
	require.Eventually(t, func() bool { return line.Accepted() == before+2 }, patience, 10*time.Millisecond)
	require.Never(t, func() bool { return line.Accepted() > before+2 }, time.Second, 10*time.Millisecond, "nobody tries any more")

	began := time.Now()
	answer := b.publish(t)
	require.Less(t, time.Since(began), quick)
	require.Equal(t, "nats_away", answer["error_code"], "%v", answer)
	line.Heal()
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}

func TestWithoutJetStreamNothingIsAskedOfIt(t *testing.T) {
	b := setup(t, withoutJetStream)
	answer := b.publish(t)
	require.Equal(t, false, answer["success"], "%v", answer)
	b.set(t, "jetstream_enabled = false")
	answer = b.publish(t)
	require.Equal(t, true, answer["success"], "%v", answer)
	require.NotContains(t, answer, "stream")
	require.Equal(t, true, b.health(t)["connected"])
}

func TestTheSubjectPrefixNamesASubject(t *testing.T) {
	b := setup(t)
	b.set(t, "subject_prefix = 'acme.events'")
	b.exec(t, "INSERT INTO rule_nats_streams (config_id, stream_name, subjects) SELECT config_id, 'ACME', '{acme.>}' FROM rule_nats_config")
	b.exec(t, "SELECT rule_webhook_enable_nats(1, p_publish_mode => 'nats')")
	answer := b.publish(t)
	require.Equal(t, "acme.events.orders", answer["subject"])
	require.Equal(t, "ACME", answer["stream"], "%v", answer)
}

func TestADisabledConfigurationIsAnswered(t *testing.T) {
	b := setup(t)
	b.set(t, "enabled = false")
	answer := b.publish(t)
	require.Equal(t, "configuration", answer["error_code"])
	require.Contains(t, answer["error"], "disabled")
	require.Equal(t, "queue", answer["fallback"])
}
