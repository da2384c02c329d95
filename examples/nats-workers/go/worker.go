package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// How long things may go on after SIGTERM. A try that is not done by then is
// given back.
const (
	askFor  = 3 * time.Second
	sendFor = 20 * time.Second
	tellFor = 25 * time.Second
)

type worker struct {
	cfg       *config
	db        *database
	endpoints *endpoints
	sender    *sender
	held      *holdings
	load      load
	windows   *windows
	stats     stats
	metrics   *metrics
	lease     time.Duration
	settings  settings

	admits   *batcher[message, verdict]
	early    *batcher[message, verdict] // for what must not wait for a backlog to be judged
	overflow *batcher[message, verdict] // makes way for others, in the database as well
	reports  *batcher[attempt, verdict]
	acks     *batcher[*event, bool]

	link            link      // to NATS
	missed          time.Time // when the stream was last missing
	nats, strangers complaint
	upkeep, claims  complaint
	namesakes       complaint
	clock           clockWatch
	slots           struct{ stream, ahead, queue slots }
	backlog         backlog               // of the stream
	place           atomic.Pointer[place] // nil: the database gave none
	crowded         atomic.Bool           // its group holds many messages
	halted          atomic.Uint64         // or so many that it gets no others: the last one of them, else 0
	siding          *siding
	busy            sync.WaitGroup // events being carried
	tellers         chan struct{}  // bounds the events that are sent and not settled

	taking, asking, sending, telling context.Context
}

func newWorker(cfg *config) *worker {
	w := &worker{
		cfg:     cfg,
		sender:  newSender(cfg.batch, guard{cfg.allow}, cfg.proxy),
		held:    newHoldings(),
		metrics: newMetrics(),
		tellers: make(chan struct{}, 2*cfg.batch),
		siding:  newSiding(cfg.batch),
	}
	// Twice as many as are sent at once, so that Postgres judges the next ones meanwhile, in
	// batches worth their flush to disk.
	w.slots.stream, w.slots.queue = newSlots(2*cfg.batch), newSlots(cfg.batch)
	w.slots.ahead = newSlots(2 * cfg.batch)
	w.windows = newWindows(cfg.batch, w.siding)
	return w
}

// run works until ctx ends, or until something proves that it never can.
func (w *worker) run(ctx context.Context) error {
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := w.begin(taking); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer w.db.close()
	defer w.link.close()

	var cancels [3]context.CancelFunc
	w.taking = taking
	w.asking, cancels[0] = outlive(taking, askFor)
	w.sending, cancels[1] = outlive(taking, sendFor)
	w.telling, cancels[2] = outlive(taking, tellFor)
	for _, cancel := range cancels {
		defer cancel()
	}

	w.admits = newBatcher(lanes, mostAdmitted, w.cfg.batch, message.size, w.db.admit)
	w.early = newBatcher(lanes, mostAdmitted, w.cfg.batch, message.size, w.db.admit)
	w.overflow = newBatcher(1, mostAdmitted, w.cfg.batch, message.size, w.db.admit)
	w.reports = newBatcher(lanes, 2*w.cfg.batch, w.cfg.batch, attempt.size, w.db.report)
	w.acks = newBatcher(lanes, mostAcked, 1, func(*event) int { return 0 }, w.ack)
	go w.admits.run(w.telling)
	go w.early.run(w.telling)
	go w.overflow.run(w.telling)
	go w.reports.run(w.telling)
	go w.acks.run(w.telling)
	go w.endpoints.run(w.telling, time.Duration(w.settings.EndpointsMS)*time.Millisecond)
	go w.keepInProgress(w.telling)
	go w.maintain(taking)
	heart, hush := context.WithCancel(w.telling)
	quiet := make(chan struct{})
	go func() { defer close(quiet); w.heartbeats(heart) }()

	var sources sync.WaitGroup
	if w.cfg.natsURL != "" {
		sources.Go(func() {
			if err := w.runNATS(); err != nil {
				stop(err)
			}
		})
	}
	if w.cfg.doQueue {
		sources.Go(w.runQueue)
	}

	sources.Wait() // they end with taking
	slog.Info("stopping", "held", len(w.held.all()))
	w.busy.Wait()
	hush()
	<-quiet
	w.lastHeartbeat()

	var wrong *configError
	if errors.As(context.Cause(taking), &wrong) {
		return wrong
	}
	return nil
}

// begin waits for the database and introduces this process to it.
func (w *worker) begin(ctx context.Context) error {
	db, err := openDatabase(ctx, w.cfg, w.metrics)
	if err != nil {
		return err
	}
	hi, err := db.hello(ctx, true, []string{})
	if err != nil {
		if refused := w.cfg.refusal(err); refused != nil {
			db.close()
			return refused
		}
		hi, err = db.hello(ctx, false, []string{})
	}
	w.endpoints = newEndpoints(db, w.held, w.windows)
	if err == nil {
		err = w.endpoints.refresh(ctx)
	}
	if err != nil {
		db.close()
		return err
	}
	w.db, w.lease, w.settings = db, hi.lease, hi.settings
	facts := []any{"consumer", w.cfg.consumer, "source_id", hi.source,
		"stream", w.cfg.doStream, "queue", w.cfg.doQueue, "in_flight", w.cfg.batch}
	if w.cfg.proxy != nil {
		facts = append(facts, "proxy", w.cfg.proxy.address)
	}
	slog.Info("started", facts...)
	return nil
}

// send makes one try, or gives the event back untried: to an endpoint that is
// gone or shut, after SIGTERM, or when its lease does not hold for as long as a try may take.
// An event that takes long frees its slot.
func (w *worker) send(e *event, free func()) (o outcome) {
	released := outcome{result: "released", started: time.Now()}
	came := time.Now()
	defer w.windows.shunt(e.webhookID, len(e.body), free)()
	may, err := w.windows.enter(w.taking, e.webhookID, func() bool { return w.endpoints.recalls(e) })
	if err != nil || !may {
		return released
	}
	defer func() { w.windows.leave(e.webhookID, o) }()
	leave, err := w.sender.enter(w.taking)
	if err != nil {
		return released
	}
	defer leave()
	w.metrics.turn.Observe(time.Since(came).Seconds())
	// Not before it has waited, which can take as long as the requests before it.
	ep, err := w.endpoints.get(w.asking, e.webhookID)
	if err != nil || ep == nil || w.endpoints.recalls(e) {
		return released
	}
	if w.taking.Err() != nil || e.left() < w.enough(ep.timeout) {
		return released
	}
	o = w.sender.try(w.sending, ep, e)
	if o.result != "released" {
		w.stats.sent(o.duration)
		w.metrics.tried(o)
	}
	return o
}

// enough is how much of a lease a try needs. A try that may take longer than
// a lease lives on renewals, as long as most of a lease is there at its start.
func (w *worker) enough(timeout time.Duration) time.Duration {
	return min(timeout, w.lease*3/4)
}
