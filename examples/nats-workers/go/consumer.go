package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// ackWait is longer than a lease, so that a message of a dead worker comes
	// back when its lease is over. What is held for longer is kept in progress.
	ackWait = 75 * time.Second
	// A delayed message holds one of these; with the default of 1,000 as many
	// dead endpoints would stop the consumer.
	maxAckPending = 100_000
	// fetchWait bounds a request that finds nothing, and so the end of the process.
	fetchWait = time.Second
	// lateBy is how much later than that the server's word about it may come.
	lateBy    = 500 * time.Millisecond
	apiWait   = 5 * time.Second
	lookAgain = 500 * time.Millisecond
)

func (c *config) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       c.group,
		FilterSubject: c.subject,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		ReplayPolicy:  jetstream.ReplayInstantPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		// Naks count as deliveries, so a limit would lose what only waits.
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}
}

// runNATS keeps the stream in reach and, for a worker of the stream, takes
// messages from it. It ends with taking, or with what no waiting will mend.
func (w *worker) runNATS() error {
	if err := w.connect(w.taking); err != nil {
		return unless(w.taking, err)
	}
	for first := true; ; {
		err := w.session(first, func() { first = false })
		w.link.there.Store(false)
		if w.taking.Err() != nil {
			return nil
		}
		var wrong *configError
		if errors.As(err, &wrong) && first {
			return err
		}
		w.nats.say("waiting for the stream", err.Error(), "stream", w.cfg.stream)
		if sleep(w.taking, lookAgain) != nil {
			return nil
		}
	}
}

// unless hides an error that is only the end of ctx.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// session works with one view of the stream and its consumer until either fails.
func (w *worker) session(first bool, working func()) error {
	stream, err := w.findStream(w.taking)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = w.makeStream()
	}
	if err != nil {
		return err
	}
	var consumer jetstream.Consumer
	if w.cfg.doStream {
		if have := stream.CachedInfo().Config.Subjects; !matchesAny(w.cfg.subject, have) {
			return wrong("SUBJECT", "is %q, and the stream %s holds %s: no message can match",
				w.cfg.subject, w.cfg.stream, strings.Join(have, ", "))
		}
		if first {
			if err := w.checkGroups(stream); err != nil {
				return err
			}
		}
		var made bool
		if consumer, made, err = w.findConsumer(stream, first); err != nil {
			return err
		}
		if first {
			if err := w.checkGroupsAgain(stream, made); err != nil {
				return err
			}
		}
	}
	w.link.there.Store(true)
	hi, err := w.db.hello(w.taking, false, []string{w.cfg.stream})
	if err != nil {
		return err
	}
	w.takePlace(hi.Places)
	w.link.met.Store(true)
	working()
	if consumer == nil {
		return w.watchStream()
	}
	reading, stop := context.WithCancelCause(w.taking)
	var reader sync.WaitGroup
	reader.Go(func() { w.readAhead(reading, consumer) })
	reader.Go(func() { stop(w.watchConsumer(reading, consumer)) })
	defer reader.Wait()
	defer stop(nil)
	for {
		n, err := w.slots.stream.take(w.taking)
		if err != nil {
			return err
		}
		if reading.Err() != nil {
			w.slots.stream.give(n)
			return context.Cause(reading)
		}
		most, err := w.load.room(w.taking, int(w.link.nc.Load().MaxPayload()))
		if err != nil {
			return err
		}
		taken, err := w.fetch(consumer, min(n, most))
		w.slots.stream.give(n - taken)
		if err != nil {
			return err
		}
	}
}

func (w *worker) findStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	asked, reconnects := time.Now(), w.link.reconnects()
	stream, err := (*w.link.js.Load()).Stream(ctx, w.cfg.stream)
	if err != nil {
		return nil, err
	}
	w.link.setClock(stream.CachedInfo().TimeStamp, asked, time.Now())
	w.link.incarnation.see(stream.CachedInfo().Created, reconnects)
	return stream, nil
}

// watchStream is for a worker that only publishes to the stream.
func (w *worker) watchStream() error {
	for {
		if err := sleep(w.taking, fetchWait); err != nil {
			return err
		}
		if _, err := w.findStream(w.taking); err != nil {
			return err
		}
	}
}

// findConsumer makes the group's consumer when it is missing and never changes it. At the start it has to be all that
// workers want of it.
func (w *worker) findConsumer(stream jetstream.Stream, first bool) (consumer jetstream.Consumer, made bool, err error) {
	ctx, cancel := context.WithTimeout(w.taking, apiWait)
	defer cancel()
	want := w.cfg.consumerConfig()
	consumer, err = stream.Consumer(ctx, w.cfg.group)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = stream.CreateConsumer(ctx, want)
		made = err == nil
		if errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = stream.Consumer(ctx, w.cfg.group) // another worker was quicker
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == errOverlap || api.ErrorCode == errSecondUnfiltered) {
		return nil, false, wrong("SUBJECT", "is %q, which overlaps with another group's on the stream %s; one QUEUE_GROUP for each part of a work queue",
			w.cfg.subject, w.cfg.stream)
	}
	if err != nil {
		return nil, false, err
	}
	if field, loses := difference(want, consumer.CachedInfo().Config); loses || field != "" && first {
		return nil, false, w.changed(field)
	}
	return consumer, made, nil
}

func (w *worker) changed(field string) error {
	return wrong("QUEUE_GROUP", "the consumer %s of the stream %s has %s; change or delete it, or take another group",
		w.cfg.group, w.cfg.stream, field)
}

// Codes of the server for consumers of a work queue that would share messages.
const (
	errSecondUnfiltered = 10099
	errOverlap          = 10100
)

// difference names the first field in which a consumer is not what workers need, and tells whether events may be lost by it:
// those that it passes over, gives up, or delivers without their bodies.
func difference(want, have jetstream.ConsumerConfig) (field string, loses bool) {
	filters := have.FilterSubjects
	if have.FilterSubject != "" {
		filters = append(filters, have.FilterSubject)
	}
	for _, f := range []struct {
		name       string
		want, have any
		loses      bool
	}{
		{"filter_subject", want.FilterSubject, strings.Join(filters, ","), true},
		{"ack_policy", want.AckPolicy, have.AckPolicy, true},
		{"max_deliver", want.MaxDeliver, have.MaxDeliver, true},
		{"deliver_policy", want.DeliverPolicy, have.DeliverPolicy, true},
		{"deliver_subject", "", have.DeliverSubject, true},
		{"headers_only", false, have.HeadersOnly, true},
		{"ack_wait", want.AckWait, have.AckWait, false},
		{"max_ack_pending", want.MaxAckPending, have.MaxAckPending, false},
		{"replay_policy", want.ReplayPolicy, have.ReplayPolicy, false},
		{"backoff", 0, len(have.BackOff), false},
	} {
		if f.want != f.have {
			return fmt.Sprintf("%s %v instead of %v", f.name, f.have, f.want), f.loses
		}
	}
	return "", false
}

// fetch asks for at most n messages and sets each on its way as it comes.
func (w *worker) fetch(consumer jetstream.Consumer, n int) (taken int, err error) {
	asked, made := time.Now(), w.incarnation(w.taking)
	if made == 0 {
		return 0, errors.New("nats does not say which stream there is")
	}
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		if w.taking.Err() != nil {
			// It came after the end and was not looked at: another worker's.
			_ = msg.Nak()
			continue
		}
		taken++
		e, m := w.open(msg, made)
		w.load.add(len(e.body))
		w.busy.Go(func() {
			defer w.load.remove(len(e.body))
			w.carry(e, m, w.slots.stream)
		})
	}
	if taken == 0 {
		w.stats.pending.Store(0)
		w.backlog.over()
	}
	if err := batch.Error(); err != nil {
		return taken, err
	}
	// The library says nothing about a request that the server has not answered.
	if taken < n && time.Since(asked) > fetchWait+lateBy {
		if err := w.link.nc.Load().FlushTimeout(2 * time.Second); err != nil {
			return taken, fmt.Errorf("nats does not answer the request for messages: %w", err)
		}
	}
	return taken, nil
}
