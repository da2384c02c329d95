package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
)

// report is an operation whose answer a goroutine makes without the database.
type report struct {
	ready  atomic.Bool
	answer map[string]any
}

func (r *report) answers(*engine, call) ([]string, error) {
	if !r.ready.Load() {
		return nil, nil
	}
	encoded, err := json.Marshal(r.answer)
	if err != nil {
		return nil, bug("answer: %v", err)
	}
	return []string{string(encoded)}, nil
}

// compile runs f in a goroutine and wakes C when its answer is there.
func (e *engine) compile(c call, f func() map[string]any) ([]string, int64, error) {
	r := &report{}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				r.answer = map[string]any{"success": false, "error": fmt.Sprintf("panic: %v", p)}
			}
			r.ready.Store(true)
			e.wake()
		}()
		r.answer = f()
	}()
	return e.start(c, r)
}

// alignStreams is rule_nats_init: connect now, and bring the configuration's
// streams in line when the caller administers them, or say how they differ.
func (e *engine) alignStreams(c call, name string) ([]string, int64, error) {
	if err := e.enter(c); err != nil {
		return nil, 0, err
	}
	config, err := e.configByName(name)
	if err != nil {
		return nil, 0, err
	}
	if !config.enabled {
		return nil, 0, mistake(statePrerequisite, "Set enabled in its row of rule_nats_config.",
			"NATS configuration %q is disabled", name)
	}
	warnings, err := e.namesakes(config)
	if err != nil {
		return nil, 0, err
	}
	pool, err := e.pool(c, config)
	if err != nil {
		return nil, 0, err
	}
	return e.compile(c, func() map[string]any {
		limit := config.ConnectionTimeout + config.PublishTimeout
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		answer := map[string]any{
			"config": name, "nats_url": config.ShownURLs(),
			"jetstream_enabled": config.JetStream, "stream_name": config.streamName,
		}
		if len(warnings) > 0 {
			answer["warnings"] = warnings
		}
		streams, err := pool.Compare(ctx, c.administrator)
		if err != nil {
			answer["success"] = false
			answer["message"] = err.Error()
			return answer
		}
		answer["success"] = true
		answer["message"] = "connected"
		for _, s := range streams {
			if s.State == "failed" || s.State == "foreign" || (c.administrator && s.State == "different") {
				answer["success"] = false
				answer["message"] = "connected, but stream " + s.Stream + " is not as rule_nats_streams says: " + s.Error
			}
		}
		answer["streams"] = streams
		return answer
	})
}

// What workers know of a stream is its name (sql/004_claim_publish.sql).
var findNamesakes = statement{
	sql: `SELECT o.config_name
	      FROM $SCHEMA.rule_nats_config c JOIN $SCHEMA.rule_nats_config o
	           ON o.stream_name OPERATOR(pg_catalog.=) c.stream_name AND o.config_id OPERATOR(pg_catalog.<>) c.config_id
	      WHERE c.config_id OPERATOR(pg_catalog.=) $1 AND c.jetstream_enabled AND o.jetstream_enabled AND o.enabled
	            AND pg_catalog.jsonb_build_array(o.nats_url, o.auth_type, o.auth_token, o.auth_user, o.auth_credentials_file, o.auth_nkey_seed)
	                OPERATOR(pg_catalog.<>) pg_catalog.jsonb_build_array(c.nats_url, c.auth_type, c.auth_token, c.auth_user, c.auth_credentials_file, c.auth_nkey_seed)
	      ORDER BY o.config_id`,
	kinds: []kind{kindInt4}, see: latestSnapshot,
}

// namesakes warns of configurations that have a stream of this one's name
// elsewhere, as it seems.
func (e *engine) namesakes(config *configuration) (warnings []string, err error) {
	rows, err := e.run(&findNamesakes, integer(config.id))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		warnings = append(warnings, fmt.Sprintf("configuration %s has a stream %s, too, and another nats_url or login: workers know streams by their names, so where webhooks use both, what waits in the queue goes to the endpoints and not to NATS; give one of them another stream_name",
			row[0].text, config.streamName))
	}
	return warnings, nil
}
