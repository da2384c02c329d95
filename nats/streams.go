package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// sourceKey is the metadata in which a stream of ours bears its database's
// source id, on servers that keep metadata (2.10).
const sourceKey = "rule_engine_source"

// StreamReport says how a row of rule_nats_streams compares with NATS.
type StreamReport struct {
	Stream string `json:"stream"`
	// State is created, updated, unchanged, missing, different, foreign or failed.
	State       string   `json:"state"`
	Differences []string `json:"differences,omitempty"`
	Warnings    []string `json:"warnings,omitempty"`
	Error       string   `json:"error,omitempty"`
}

// config is what NATS should hold for the row, laid over what it holds: what
// the row says nothing of stays as it is.
func (s *Stream) config(base jetstream.StreamConfig, source string) jetstream.StreamConfig {
	base.Name = s.Name
	base.Subjects = s.Subjects
	base.Description = s.Description
	base.Replicas = s.Replicas
	base.MaxAge = s.MaxAge
	base.Duplicates = s.DuplicateWindow
	base.MaxMsgs = unlimited(s.MaxMessages)
	base.MaxBytes = unlimited(s.MaxBytes)
	base.Storage = jetstream.FileStorage
	if s.Storage == "memory" {
		base.Storage = jetstream.MemoryStorage
	}
	switch s.Retention {
	case "interest":
		base.Retention = jetstream.InterestPolicy
	case "workqueue":
		base.Retention = jetstream.WorkQueuePolicy
	default:
		base.Retention = jetstream.LimitsPolicy
	}
	base.Discard = jetstream.DiscardOld
	if s.Discard == "new" {
		base.Discard = jetstream.DiscardNew
	}
	if base.Metadata == nil {
		base.Metadata = map[string]string{}
	}
	base.Metadata[sourceKey] = source
	return base
}

// unlimited is NATS' way to say that a limit of 0 is none.
func unlimited(limit int64) int64 {
	if limit <= 0 {
		return -1
	}
	return limit
}

// Warnings names how the stream can drop what was not delivered.
func (s *Stream) Warnings() []string {
	var warnings []string
	if s.MaxAge > 0 {
		warnings = append(warnings, fmt.Sprintf("max_age_seconds of %d drops events that were not delivered by then", int64(s.MaxAge.Seconds())))
	}
	if s.Discard == "old" && (s.MaxMessages > 0 || s.MaxBytes > 0) {
		warnings = append(warnings, "discard_policy 'old' drops the oldest events when the stream is full; 'new' refuses instead, and the queue takes them")
	}
	if s.Retention == "interest" {
		warnings = append(warnings, "retention_policy 'interest' drops events while no consumer exists")
	}
	return warnings
}

func (p *Pool) create(ctx context.Context, link *link, s *Stream) error {
	err := link.ask(ctx, func(ctx context.Context) error {
		_, err := link.js.CreateStream(ctx, s.config(jetstream.StreamConfig{}, p.source))
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return errors.New("it is there, but does not take this subject; rule_nats_init() says how it differs")
	}
	return err
}

// stream asks for a stream by its name.
func (l *link) stream(ctx context.Context, name string) (stream jetstream.Stream, err error) {
	err = l.ask(ctx, func(ctx context.Context) (err error) {
		stream, err = l.js.Stream(ctx, name)
		return err
	})
	return stream, err
}

// Compare brings each stream in line with its row, or only says how it differs
// when change is false.
func (p *Pool) Compare(ctx context.Context, change bool) ([]StreamReport, error) {
	p.begin()
	defer p.end()
	link, err := p.connection(ctx, true)
	if err != nil {
		return nil, errors.New(away(err).Text)
	}
	reports := make([]StreamReport, 0, len(p.config.Streams))
	if !p.config.JetStream {
		return reports, nil
	}
	for i := range p.config.Streams {
		report := p.compare(ctx, link, &p.config.Streams[i], change)
		report.Warnings = slices.Concat(p.config.Streams[i].Warnings(), report.Warnings, lacking(link))
		reports = append(reports, report)
	}
	return reports, nil
}

// lacking names what an older server leaves out of a stream without a word.
func lacking(link *link) []string {
	version := link.conn.ConnectedServerVersion()
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d.", &major, &minor); err != nil || major > 2 || (major == 2 && minor >= 10) {
		return nil
	}
	return []string{"nats-server " + clean(version) + " keeps no metadata: that a stream belongs to another database is not noticed; 2.10 does"}
}

func (p *Pool) compare(ctx context.Context, link *link, s *Stream, change bool) StreamReport {
	report := StreamReport{Stream: s.Name}
	fail := func(err error) StreamReport {
		report.State, report.Error = "failed", explain(err)
		return report
	}
	stream, err := link.stream(ctx, s.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		report.State = "missing"
		if change {
			if err := p.create(ctx, link, s); err != nil {
				return fail(err)
			}
			report.State = "created"
		}
		return report
	}
	if err != nil {
		return fail(err)
	}
	held := stream.CachedInfo().Config
	if owner := held.Metadata[sourceKey]; owner != "" && owner != p.source {
		report.State = "foreign"
		report.Error = "the stream belongs to the database with source id " + owner + "; use another stream name and subject_prefix"
		return report
	}
	wanted := s.config(held, p.source)
	fixed := ""
	report.Differences, fixed = differences(&held, &wanted)
	switch {
	case len(report.Differences) == 0:
		report.State = "unchanged"
	case fixed != "":
		report.State = "different"
		report.Error = fixed + " of a stream cannot be changed in NATS: use a new stream name, or delete the stream when it is empty"
	case !change:
		report.State = "different"
	default:
		if err := link.ask(ctx, func(ctx context.Context) error {
			_, err := link.js.UpdateStream(ctx, wanted)
			return err
		}); err != nil {
			return fail(err)
		}
		report.State = "updated"
		held = wanted
	}
	report.Warnings = s.dropping(&held)
	return report
}

// dropping names how the stream in NATS drops what was not delivered where its row does not ask for that.
func (s *Stream) dropping(held *jetstream.StreamConfig) []string {
	var warnings []string
	note := func(limit string, value any) {
		warnings = append(warnings, fmt.Sprintf("%s of %v, set in NATS, drops events that were not delivered", limit, value))
	}
	if held.MaxMsgsPerSubject > 0 && !(held.Discard == jetstream.DiscardNew && held.DiscardNewPerSubject) {
		note("max_msgs_per_subject", held.MaxMsgsPerSubject)
	}
	if held.MaxAge > 0 && (s.MaxAge == 0 || held.MaxAge < s.MaxAge) {
		note("max_age", held.MaxAge)
	}
	if held.Discard == jetstream.DiscardOld && s.Discard != "old" {
		if held.MaxMsgs > 0 {
			note("max_msgs", held.MaxMsgs)
		}
		if held.MaxBytes > 0 {
			note("max_bytes", held.MaxBytes)
		}
	}
	return warnings
}

// differences names what differs, and the first difference that NATS cannot
// change in place (nats-server, server/stream.go, configUpdateCheck).
func differences(held, wanted *jetstream.StreamConfig) (list []string, fixed string) {
	note := func(name string, a, b any) {
		list = append(list, fmt.Sprintf("%s: %v in NATS, %v in rule_nats_streams", name, a, b))
	}
	if held.Storage != wanted.Storage {
		note("storage_type", held.Storage, wanted.Storage)
		fixed = "the storage type"
	}
	if held.Retention != wanted.Retention {
		note("retention_policy", held.Retention, wanted.Retention)
		if held.Retention == jetstream.WorkQueuePolicy || wanted.Retention == jetstream.WorkQueuePolicy {
			fixed = "the retention policy"
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(held.Subjects)), slices.Sorted(slices.Values(wanted.Subjects))) {
		note("subjects", held.Subjects, wanted.Subjects)
	}
	if held.Description != wanted.Description {
		note("description", held.Description, wanted.Description)
	}
	if held.Discard != wanted.Discard {
		note("discard_policy", held.Discard, wanted.Discard)
	}
	if held.MaxMsgs != wanted.MaxMsgs {
		note("max_messages", held.MaxMsgs, wanted.MaxMsgs)
	}
	if held.MaxBytes != wanted.MaxBytes {
		note("max_bytes", held.MaxBytes, wanted.MaxBytes)
	}
	if held.MaxAge != wanted.MaxAge {
		note("max_age_seconds", held.MaxAge, wanted.MaxAge)
	}
	if held.Duplicates != wanted.Duplicates {
		note("duplicate_window_seconds", held.Duplicates, wanted.Duplicates)
	}
	if held.Replicas != wanted.Replicas {
		note("replicas", held.Replicas, wanted.Replicas)
	}
	return list, fixed
}
