package main

import (
	"sync/atomic"
	"time"

	"rule_engine/nats"
)

// sending is a batch of events from call to answer.
type sending struct {
	byMode bool
	events []*event
	// open counts the batches whose outcomes are not in: one a configuration.
	open atomic.Int32
}

// send is the first half of the story, before the wait: load, validate, compose,
// hand over.
func (e *engine) send(c call, byMode bool, events []*event) ([]string, int64, error) {
	if err := e.enter(c); err != nil {
		return nil, 0, err
	}
	for _, ev := range events {
		if err := e.load(ev, byMode); err != nil {
			return nil, 0, err
		}
	}
	s := &sending{byMode: byMode, events: events}
	var out []*event
	for _, ev := range events {
		if ev.toNATS && ev.webhook.enabled {
			out = append(out, ev)
		}
	}
	if err := s.handOver(e, c, out); err != nil {
		return nil, 0, err
	}
	return e.start(c, s)
}

// handOver sends events to NATS, those of one configuration as one batch in
// their order.
func (s *sending) handOver(e *engine, c call, events []*event) error {
	batches := make(map[*nats.Pool][]*event)
	for _, ev := range events {
		config, err := e.config(ev.webhook.configID)
		if err != nil {
			return err
		}
		if ev.started.IsZero() {
			ev.started = time.Now()
		}
		if !config.enabled {
			ev.ended = ev.started
			ev.outcome = nats.Outcome{Kind: nats.Rejected, Code: nats.CodeSettings,
				Text: "NATS configuration " + config.Name + " is disabled"}
			continue
		}
		pool, err := e.pool(c, config)
		if err != nil {
			return err
		}
		batches[pool] = append(batches[pool], ev)
	}
	s.open.Store(int32(len(batches)))
	for pool, batch := range batches {
		messages := make([]nats.Message, len(batch))
		for i, ev := range batch {
			messages[i] = ev.message(pool.Source(), c)
		}
		pool.Send(messages, func(outcomes []nats.Outcome) {
			now := time.Now()
			for i, ev := range batch {
				ev.outcome, ev.ended = outcomes[i], now
			}
			s.open.Add(-1)
			e.wake()
		})
	}
	return nil
}

// answers is the second half, after the wait: what came back decides what is
// recorded and answered.
func (s *sending) answers(e *engine, c call) ([]string, error) {
	if s.open.Load() > 0 {
		return nil, nil
	}
	again, err := s.taken(e)
	if err != nil {
		return nil, err
	}
	if len(again) > 0 {
		return nil, s.handOver(e, c, again)
	}
	answers := make([]string, len(s.events))
	for i, ev := range s.events {
		if err := s.settle(e, c, ev); err != nil {
			return nil, err
		}
		if answers[i], err = ev.answer(s.byMode); err != nil {
			return nil, bug("answer: %v", err)
		}
	}
	return answers, nil
}

// taken are the events whose id the stream holds already although no publish
// that committed took it: the first one rolled back, or is still open. They go
// out again under an id of this transaction's own, or a retried transaction
// would lose its event.
func (s *sending) taken(e *engine) ([]*event, error) {
	var again []*event
	for _, ev := range s.events {
		if !ev.outcome.Duplicate || ev.republished {
			continue
		}
		if !ev.named {
			// Nobody else can have used it: the duplicate is our own first try.
			ev.outcome.Duplicate = false
			continue
		}
		explained, err := e.explained(ev)
		if err != nil {
			return nil, err
		}
		if !explained {
			ev.republished = true
			again = append(again, ev)
		}
	}
	return again, nil
}

// settle writes what the event leaves behind in this transaction.
func (s *sending) settle(e *engine, c call, ev *event) error {
	if !ev.webhook.enabled {
		return nil
	}
	if !ev.toNATS {
		if err := e.enqueue(c, ev, routePost); err != nil {
			return err
		}
		return ev.lost(c)
	}
	failed := ev.outcome.Kind != nats.Acked
	if failed && ev.outcome.Code == nats.CodeTooLarge {
		return mistake(stateLimit, "Raise max_payload of the server, or send a reference instead of the data.",
			"event for webhook %q was not published: %s", ev.webhook.name, ev.outcome.Text)
	}
	if failed && !ev.toQueue && ev.webhook.fallback == "error" {
		return mistake(stateConnection, "nats_fallback 'queue' of the webhook keeps such events in the queue instead.",
			"event for webhook %q was not published: %s", ev.webhook.name, ev.outcome.Text)
	}
	switch {
	case failed && (ev.toQueue || ev.webhook.fallback == "queue"):
		if err := e.enqueue(c, ev, routePublish); err != nil {
			return err
		}
		if err := ev.lost(c); err != nil {
			return err
		}
	case ev.toQueue:
		// Where the queue is full the stream's copy is enough: its receipt is made when a worker takes it.
		if err := e.enqueue(c, ev, routeStream); err != nil {
			return err
		}
	}
	return e.record(c, ev)
}

// lost refuses an event that the full queue did not take where nobody reads the
// answer that would say so: our trigger's rows must not commit without theirs.
func (ev *event) lost(c call) error {
	if ev.queueFull == "" || c.table == "" {
		return nil
	}
	return mistake(stateFull, "Let workers deliver what waits, or raise the limit; see webhook_queue_fill.",
		"event for webhook %q was not accepted: %s", ev.webhook.name, ev.queueFull)
}
