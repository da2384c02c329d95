package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"rule_engine/nats"
)

// webhook is what a publish needs of a row of rule_webhooks.
type webhook struct {
	id           int32
	name         string
	enabled      bool
	mode         string
	natsEnabled  bool
	subject      string
	configID     int32
	fallback     string
	storePayload bool
	// limited says that its part of the queue has a limit.
	limited bool
	// ordered says that a value in their payloads orders its events.
	ordered bool
}

// configuration is a row of rule_nats_config.
type configuration struct {
	nats.Config
	id         int32
	enabled    bool
	streamName string
	// pool is the one that was found to fit, nil before the first use.
	pool *nats.Pool
}

// cache holds rows until C says that one of their tables has changed.
type cache struct {
	source   string
	settings *settings
	webhooks map[int32]*webhook
	named    map[string]int32 // webhooks by their names
	configs  map[int32]*configuration
	names    map[string]int32
}

// What is cached is read as it is committed by now, and with one's own changes:
// an older snapshot's row would outlive the transaction that read it.
var (
	// Version 0.1.0 has no limits and no order: what it lacks is not asked for by name.
	loadWebhook = statement{
		sql: `SELECT w.webhook_name, w.enabled, w.publish_mode, w.nats_enabled, w.nats_subject,
		             COALESCE(w.nats_config_id, c.config_id), w.nats_fallback, w.store_payload,
		             COALESCE(pg_catalog.to_jsonb(w) OPERATOR(pg_catalog.->>) 'queue_max_events',
		                      pg_catalog.to_jsonb(w) OPERATOR(pg_catalog.->>) 'queue_max_bytes') IS NOT NULL,
		             pg_catalog.to_jsonb(w) OPERATOR(pg_catalog.->>) 'order_key' IS NOT NULL
		      FROM $SCHEMA.rule_webhooks w
		      LEFT JOIN $SCHEMA.rule_nats_config c ON c.config_name OPERATOR(pg_catalog.=) 'default'
		      WHERE w.webhook_id OPERATOR(pg_catalog.=) $1`,
		kinds: []kind{kindInt4}, see: latestSnapshot,
	}
	findWebhook = statement{
		sql: `SELECT w.webhook_id FROM $SCHEMA.rule_webhooks w
		      WHERE w.webhook_name OPERATOR(pg_catalog.=) $1`,
		kinds: []kind{kindText}, see: latestSnapshot,
	}
	findConfig = statement{
		sql: `SELECT c.config_id FROM $SCHEMA.rule_nats_config c
		      WHERE c.config_name OPERATOR(pg_catalog.=) $1`,
		kinds: []kind{kindText}, see: latestSnapshot,
	}
	loadConfig = statement{
		sql: `SELECT c.config_name, c.nats_url, pg_catalog.array_to_string(c.nats_cluster_urls, ','),
		             c.auth_type, c.auth_token, c.auth_user, c.auth_password, c.auth_credentials_file,
		             c.auth_nkey_seed, c.tls_enabled, c.tls_cert_file, c.tls_key_file, c.tls_ca_file,
		             c.connection_timeout_ms, c.publish_timeout_ms, c.reconnect_delay_ms,
		             c.max_reconnect_attempts, c.jetstream_enabled, c.stream_name, c.enabled, c.max_connections,
		             -- Version 0.1.0 has no such column.
		             pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->>) 'idle_timeout_seconds'
		      FROM $SCHEMA.rule_nats_config c WHERE c.config_id OPERATOR(pg_catalog.=) $1`,
		kinds: []kind{kindInt4}, see: latestSnapshot,
	}
	loadStreams = statement{
		sql: `SELECT s.stream_name, pg_catalog.to_json(s.subjects), s.description, s.storage_type,
		             s.max_messages, s.max_bytes, s.max_age_seconds, s.retention_policy,
		             s.discard_policy, s.replicas, s.duplicate_window_seconds
		      FROM $SCHEMA.rule_nats_streams s
		      WHERE s.config_id OPERATOR(pg_catalog.=) $1 AND s.enabled ORDER BY s.stream_id`,
		kinds: []kind{kindInt4}, see: latestSnapshot,
	}
	loadSource = statement{
		sql:   `SELECT s.source_id, s.database_oid FROM $SCHEMA.rule_engine_source s`,
		kinds: []kind{}, see: latestSnapshot,
	}
	// A database made from a template has its template's row, which this renews.
	renewSource = statement{
		sql:   `SELECT s.source_id, s.database_oid FROM $SCHEMA._rule_source() s`,
		kinds: []kind{}, see: activeSnapshot,
	}
)

func (e *engine) webhookOf(ev *event) (*webhook, error) {
	if !ev.byName {
		return e.webhook(ev.webhookID)
	}
	if id, ok := e.cache.named[ev.webhookName]; ok {
		return e.webhook(id)
	}
	row, err := e.row(&findWebhook, text(ev.webhookName))
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, mistake(stateUndefined, hintRegisteredBefore, "webhook %q does not exist", ev.webhookName)
	}
	var id int32
	if err := scan(row, &id); err != nil {
		return nil, err
	}
	if e.cache.named == nil {
		e.cache.named = make(map[string]int32)
	}
	e.cache.named[ev.webhookName] = id
	return e.webhook(id)
}

func (e *engine) webhook(id int32) (*webhook, error) {
	if w, ok := e.cache.webhooks[id]; ok {
		return w, nil
	}
	row, err := e.row(&loadWebhook, integer(id))
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, mistake(stateUndefined, hintRegisteredBefore, "webhook %d does not exist", id)
	}
	w := &webhook{id: id}
	err = scan(row, &w.name, &w.enabled, &w.mode, &w.natsEnabled, &w.subject, &w.configID, &w.fallback, &w.storePayload,
		&w.limited, &w.ordered)
	if err != nil {
		return nil, err
	}
	if e.cache.webhooks == nil {
		e.cache.webhooks = make(map[int32]*webhook)
	}
	e.cache.webhooks[id] = w
	return w, nil
}

func (e *engine) configByName(name string) (*configuration, error) {
	if id, ok := e.cache.names[name]; ok {
		return e.config(id)
	}
	row, err := e.row(&findConfig, text(name))
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, mistake(stateUndefined, "rule_nats_configure() makes one.",
			"NATS configuration %q does not exist", name)
	}
	var id int32
	if err := scan(row, &id); err != nil {
		return nil, err
	}
	if e.cache.names == nil {
		e.cache.names = make(map[string]int32)
	}
	e.cache.names[name] = id
	return e.config(id)
}

func (e *engine) config(id int32) (*configuration, error) {
	if c, ok := e.cache.configs[id]; ok {
		return c, nil
	}
	row, err := e.row(&loadConfig, integer(id))
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, mistake(stateUndefined, "rule_nats_configure() makes one.",
			"NATS configuration %d does not exist", id)
	}
	c := &configuration{id: id}
	var first, others string
	var connect, publish, reconnect, attempts, connections, idle int64
	err = scan(row, &c.Name, &first, &others, &c.AuthType, &c.Token, &c.User, &c.Password, &c.CredentialsFile,
		&c.NKeySeed, &c.TLS, &c.CertFile, &c.KeyFile, &c.CAFile, &connect, &publish, &reconnect, &attempts,
		&c.JetStream, &c.streamName, &c.enabled, &connections, &idle)
	if err != nil {
		return nil, err
	}
	for url := range strings.SplitSeq(first+","+others, ",") {
		if url = strings.TrimSpace(url); url != "" {
			c.URLs = append(c.URLs, url)
		}
	}
	c.ConnectionTimeout = time.Duration(connect) * time.Millisecond
	c.PublishTimeout = time.Duration(publish) * time.Millisecond
	c.ReconnectDelay = time.Duration(reconnect) * time.Millisecond
	c.MaxReconnects = int(attempts)
	c.MaxConnections = int(connections)
	c.IdleTimeout = time.Duration(idle) * time.Second
	if c.Streams, err = e.streams(id); err != nil {
		return nil, err
	}
	if e.cache.configs == nil {
		e.cache.configs = make(map[int32]*configuration)
	}
	e.cache.configs[id] = c
	return c, nil
}

func (e *engine) streams(config int32) ([]nats.Stream, error) {
	rows, err := e.run(&loadStreams, integer(config))
	if err != nil {
		return nil, err
	}
	var streams []nats.Stream
	for _, row := range rows {
		var s nats.Stream
		var subjects string
		var age, window int64
		err := scan(row, &s.Name, &subjects, &s.Description, &s.Storage, &s.MaxMessages, &s.MaxBytes, &age,
			&s.Retention, &s.Discard, &s.Replicas, &window)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(subjects), &s.Subjects); err != nil {
			return nil, bug("subjects of stream %s: %v", s.Name, err)
		}
		s.MaxAge = time.Duration(age) * time.Second
		s.DuplicateWindow = time.Duration(window) * time.Second
		streams = append(streams, s)
	}
	return streams, nil
}

// source is this database's source id. A copy of a database gets its own at its
// first publish: whoever only looks answers with the one that is there.
func (e *engine) source(c call) (string, error) {
	if e.cache.source != "" {
		return e.cache.source, nil
	}
	id, ours, err := e.readSource(&loadSource)
	if err == nil && !ours && c.transaction != 0 {
		id, ours, err = e.readSource(&renewSource)
	}
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", mistake(statePrerequisite, "rule_engine_source_renew() gives the database one.",
			"this database has no source id")
	}
	if ours {
		e.cache.source = id
	}
	return id, nil
}

func (e *engine) readSource(s *statement) (id string, ours bool, err error) {
	row, err := e.row(s)
	if err != nil || row == nil {
		return "", false, err
	}
	var oid int64
	err = scan(row, &id, &oid)
	return id, oid == int64(e.databaseOID), err
}

// pool is the configuration's pool, a new one where the configuration changed.
func (e *engine) pool(in call, c *configuration) (*nats.Pool, error) {
	source, err := e.source(in)
	if err != nil {
		return nil, err
	}
	if c.pool != nil && c.pool.Source() == source {
		return c.pool, nil
	}
	pool, ok := e.pools[c.id]
	if !ok || pool.Source() != source || !reflect.DeepEqual(*pool.Config(), c.Config) {
		if ok {
			pool.Close()
		}
		outage, err := e.outages.of(e.databaseOID, c)
		if err != nil {
			return nil, err
		}
		pool = nats.NewPool(c.Config, e.client, source, outage)
		e.pools[c.id] = pool
	}
	c.pool = pool
	return pool, nil
}
