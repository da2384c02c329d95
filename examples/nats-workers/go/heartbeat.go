package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// stats counts since the start of the process.
type stats struct {
	delivered, acknowledged, redelivered atomic.Int64
	pending                              atomic.Int64
	tries, spent                         atomic.Int64 // number and nanoseconds
}

// took counts an event, how often it was handed out and how many wait behind it.
func (s *stats) took(deliveries, pending uint64) {
	s.delivered.Add(1)
	if deliveries > 1 {
		s.redelivered.Add(1)
	}
	s.pending.Store(int64(pending))
}

func (s *stats) sent(d time.Duration) {
	s.tries.Add(1)
	s.spent.Add(int64(d))
}

type total struct {
	Stream       string   `json:"stream"`
	Group        string   `json:"group"`
	Delivered    int64    `json:"delivered"`
	Acknowledged int64    `json:"acknowledged"`
	Pending      int64    `json:"pending"`
	Redelivered  int64    `json:"redelivered"`
	AvgMS        *float64 `json:"avg_ms"`
	Active       bool     `json:"active"`
}

// holds names events the way heartbeat takes and gives them.
type holds struct {
	Queue    []int64   `json:"queue"`
	Receipts []receipt `json:"receipts"`
	// Unanswered are claims whose rows this process was never told of.
	Unanswered []int64 `json:"unanswered,omitempty"`
	Instance   int64   `json:"instance,omitempty"`
	HeardMS    int64   `json:"heard_ms,omitempty"`
}

// losses is what a heartbeat is answered.
type losses struct {
	holds
	Places   places `json:"places"`
	NowMS    int64  `json:"now_ms"`   // not said by older versions
	Namesake bool   `json:"namesake"` // nor this

	ahead time.Duration // the clock here, of the database's
}

type receipt struct {
	webhookID  int32
	messageID  string
	redelivery int
}

func (r receipt) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.webhookID, r.messageID, r.redelivery})
}

func (r *receipt) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&r.webhookID, &r.messageID, &r.redelivery})
}

func (e *event) receipt() receipt { return receipt{e.webhookID, e.messageID, e.redelivery} }

// heartbeats renews leases and writes totals until ctx ends. Never in step with a namesake that was started in
// the same moment: of two at a time Postgres writes down one.
func (w *worker) heartbeats(ctx context.Context) {
	for every := time.Duration(w.settings.HeartbeatMS) * time.Millisecond; sleep(ctx, every-rand.N(every/10+1)) == nil; {
		w.heartbeat(ctx)
	}
}

func (w *worker) heartbeat(ctx context.Context) {
	held := holds{Queue: []int64{}, Receipts: []receipt{}}
	var renewing []*event
	for _, e := range w.held.all() {
		if e.leaseEnd.Load() == 0 {
			continue
		}
		renewing = append(renewing, e)
		if e.queueID != 0 {
			held.Queue = append(held.Queue, e.queueID)
		} else {
			held.Receipts = append(held.Receipts, e.receipt())
		}
	}
	start := time.Now()
	lost, err := w.db.heartbeat(ctx, w.totals(true), held)
	if err != nil {
		return // the calls that carry events say what is wrong; leases run on
	}
	w.takePlace(lost.Places)
	w.clock.look(lost.ahead, -time.Duration(w.link.clock.Load()))
	if w.db.namesake.look(lost) {
		w.namesakes.say("another process lives under the same CONSUMER_NAME; give each its own: totals are mixed up, and events may arrive twice", "",
			"consumer", w.cfg.consumer)
	}
	queue, receipts := map[int64]bool{}, map[receipt]bool{}
	for _, id := range lost.Queue {
		queue[id] = true
	}
	for _, r := range lost.Receipts {
		receipts[r] = true
	}
	for _, e := range renewing {
		if e.queueID != 0 && queue[e.queueID] || e.queueID == 0 && receipts[e.receipt()] {
			e.unlease() // left() is then negative: it is not sent
			continue
		}
		e.renewed(start, w.lease)
	}
}

// lastHeartbeat tells that the process is gone; its leases are given back by now. To
// a Postgres that has not answered until then it is not told.
func (w *worker) lastHeartbeat() {
	ctx, cancel := context.WithTimeout(w.telling, 3*time.Second)
	defer cancel()
	_, _ = w.db.heartbeat(ctx, w.totals(false), holds{Queue: []int64{}, Receipts: []receipt{}})
}

// queueTotals is what stands for a stream's name in the totals of a worker that takes
// events from the queue alone. How many wait there is for the database to say.
const queueTotals = "rule_webhook_queue"

func (w *worker) totals(active bool) []total {
	source := w.cfg.stream
	if !w.cfg.doStream {
		source = queueTotals
	}
	t := total{
		Stream:       source,
		Group:        w.cfg.group,
		Delivered:    w.stats.delivered.Load(),
		Acknowledged: w.stats.acknowledged.Load(),
		Pending:      w.stats.pending.Load(),
		Redelivered:  w.stats.redelivered.Load(),
		Active:       active,
	}
	if tries := w.stats.tries.Load(); tries > 0 {
		avg := float64(w.stats.spent.Load()) / float64(tries) / 1e6
		t.AvgMS = &avg
	}
	all := []total{t}
	if !w.cfg.doStream && w.link.met.Load() {
		// It has said that it reaches the stream, and takes nothing from there.
		all = append(all, total{Stream: w.cfg.stream, Group: w.cfg.group, Active: active})
	}
	return all
}

// keepInProgress tells NATS about messages that are held for long, mostly
// because the database is away, so that they are not handed out twice.
func (w *worker) keepInProgress(ctx context.Context) {
	for sleep(ctx, ackWait/3) == nil {
		for _, e := range w.held.all() {
			if e.msg != nil && e.made == w.link.made() {
				_ = e.msg.InProgress()
			}
		}
	}
}
