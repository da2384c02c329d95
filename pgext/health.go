package main

import (
	"context"
	"sync"
	"time"

	"rule_engine/nats"
)

// leastLook is enough for a server that answers.
const leastLook = 200 * time.Millisecond

// looks is what a session's looks at NATS have cost: those that failed share one
// connection time-out, so that a view over many dead configurations costs little more.
type looks struct {
	mu     sync.Mutex
	vain   time.Duration
	lastAt time.Time
}

// left is how long a look may take.
func (l *looks) left(timeout time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.lastAt) >= timeout {
		l.vain = 0
	}
	return max(timeout-l.vain, min(leastLook, timeout))
}

func (l *looks) failed(spent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vain += spent
	l.lastAt = time.Now()
}

// checkHealth is rule_nats_health_check.
func (e *engine) checkHealth(c call, name string) ([]string, int64, error) {
	if err := e.enter(c); err != nil {
		return nil, 0, err
	}
	config, err := e.configByName(name)
	if err != nil {
		return nil, 0, err
	}
	answer := map[string]any{"success": true, "config": name, "jetstream_enabled": config.JetStream}
	if !config.enabled {
		answer["connected"] = false
		answer["error"] = "the configuration is disabled"
		answer["pool_stats"] = poolStats(nats.Stats{})
		return e.compile(c, func() map[string]any { return answer })
	}
	pool, err := e.pool(c, config)
	if err != nil {
		return nil, 0, err
	}
	return e.compile(c, func() map[string]any {
		ctx, cancel := context.WithTimeout(context.Background(), e.looks.left(config.ConnectionTimeout))
		defer cancel()
		began := time.Now()
		seen := pool.Look(ctx)
		if !seen.Connected {
			e.looks.failed(time.Since(began))
		}
		answer["connected"] = seen.Connected
		if seen.Connected {
			answer["server"] = seen.Server
			answer["server_version"] = seen.ServerVersion
			answer["round_trip_ms"] = float64(seen.RoundTrip.Microseconds()) / 1000
			if seen.JetStream != nil {
				answer["jetstream"] = seen.JetStream
			} else if seen.JetStreamError != "" {
				answer["jetstream_error"] = seen.JetStreamError
			}
			answer["streams"] = seen.Streams
		} else {
			answer["error"] = seen.Error
		}
		answer["pool_stats"] = poolStats(pool.Stats())
		return answer
	})
}

func poolStats(s nats.Stats) map[string]any {
	percentage := 0
	if s.Total > 0 {
		percentage = 100 * s.Healthy / s.Total
	}
	return map[string]any{
		"total_connections": s.Total, "healthy_connections": s.Healthy,
		"health_percentage": percentage, "requests_served": s.Requests,
	}
}
