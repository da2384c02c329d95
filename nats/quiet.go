package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// quiets are the streams that did not answer while their server did answer a PING,
// for want of a leader perhaps. Nothing more is sent to such a one until a look
// finds that it answers: what was not sent failed, and is not unknown.
type quiets struct {
	mu sync.Mutex
	// of has them by name, or by subject where rule_nats_streams has no stream
	// for it, until an ack comes.
	of map[string]*quiet
}

type quiet struct {
	// answers is what a look found.
	answers bool
	since   time.Time
	// looking counts the looks under way; at lookAt the next one may begin.
	looking int
	lookAt  time.Time
}

// answerer names what answers for a subject: a stream, where one is known.
func (p *Pool) answerer(subject string) (key string, stream *Stream) {
	for i := range p.config.Streams {
		if s := &p.config.Streams[i]; s.covers(subject) {
			return s.Name, s
		}
	}
	return subject, nil
}

// fellQuiet is called when a message was sent twice in vain, with a PONG in
// between, or nobody answered when its stream was to be made. The look comes at
// once, or after the reconnect delay where an earlier one was wrong: acks can be
// lost while all else is answered.
func (p *Pool) fellQuiet(subject string) {
	key, _ := p.answerer(subject)
	p.quiets.mu.Lock()
	defer p.quiets.mu.Unlock()
	q := p.quiets.of[key]
	if q == nil {
		q = &quiet{since: time.Now()}
		if p.quiets.of == nil {
			p.quiets.of = make(map[string]*quiet)
		}
		p.quiets.of[key] = q
	} else if q.answers {
		q.lookAt = time.Now().Add(p.pause())
	}
	q.answers = false
	p.lookAfter(q, subject)
}

// acked is called when an ack came.
func (p *Pool) acked(subject string) {
	p.quiets.mu.Lock()
	defer p.quiets.mu.Unlock()
	if len(p.quiets.of) > 0 {
		key, _ := p.answerer(subject)
		delete(p.quiets.of, key)
	}
}

// quiet answers why messages are not to be sent, nil when they may be.
func (p *Pool) quiet(messages []Message) error {
	p.quiets.mu.Lock()
	defer p.quiets.mu.Unlock()
	if len(p.quiets.of) == 0 {
		return nil
	}
	for i := range messages {
		key, stream := p.answerer(messages[i].Subject)
		q := p.quiets.of[key]
		if q == nil || q.answers {
			continue
		}
		p.lookAfter(q, messages[i].Subject)
		if stream == nil {
			return fmt.Errorf("the stream that takes subject %q does not answer", key)
		}
		return fmt.Errorf("stream %s does not answer", key)
	}
	return nil
}

// pause is the time between two tries.
func (p *Pool) pause() time.Duration { return max(p.config.ReconnectDelay, leastReconnectDelay) }

// A leader is elected within some seconds, as a rule. So long it is looked for often, without waiting for the look
// before, which was lost when nobody was there to answer it.
const (
	electing  = 10 * time.Second
	lookOften = 250 * time.Millisecond
	mostLooks = 4
)

// lookAfter begins a look when it is time for one, and only while somebody publishes. The lock is held.
func (p *Pool) lookAfter(q *quiet, subject string) {
	now := time.Now()
	if q.looking == mostLooks || now.Before(q.lookAt) {
		return
	}
	pause := p.pause()
	if now.Sub(q.since) < electing {
		pause = min(pause, lookOften)
	}
	q.lookAt = now.Add(pause)
	q.looking++
	go guard(func() {
		answers := false
		err := protect(func() error {
			answers = p.answering(subject)
			return nil
		})
		p.quiets.mu.Lock()
		defer p.quiets.mu.Unlock()
		q.looking--
		if answers && err == nil {
			q.answers = true
		}
	})
}

// answering asks the stream for a subject whether it can take messages. A stream
// that is not there, and an account that may not ask, are for a publish to find out.
func (p *Pool) answering(subject string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.PublishTimeout/2)
	defer cancel()
	// In doubt since the same publish, as a rule, until its PONG comes.
	l := p.carrier()
	for ; l == nil || !l.ready(); l = p.carrier() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	name, stream := p.answerer(subject)
	if stream == nil {
		err := l.ask(ctx, func(ctx context.Context) (err error) {
			name, err = l.js.StreamNameBySubject(ctx, subject)
			return err
		})
		if err != nil {
			return forPublish(err)
		}
	}
	found, err := l.stream(ctx, name)
	if err != nil {
		return forPublish(err)
	}
	return quorum(found.CachedInfo().Cluster)
}

// errNotAvailable is the answer of a server without a leader to ask.
const errNotAvailable jetstream.ErrorCode = 10008

// unanswered tells of a request to JetStream that nobody could answer.
func unanswered(err error) bool {
	var api jetstream.JetStreamError
	return timedOut(err) || errors.As(err, &api) && api.APIError() != nil && api.APIError().ErrorCode == errNotAvailable
}

func forPublish(err error) bool {
	var denied *deniedError
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.As(err, &denied)
}

// lostAfter is how long a server waits for a follower before it counts as lost
// (nats-server, server/raft.go, lostQuorumInterval).
const lostAfter = 10 * time.Second

// quorum tells whether a leader has enough followers to store a message. One that
// lost them goes on as the leader for some seconds.
func quorum(cluster *jetstream.ClusterInfo) bool {
	if cluster == nil || len(cluster.Replicas) == 0 {
		return true
	}
	there := 1
	for _, replica := range cluster.Replicas {
		if !replica.Offline && replica.Active < lostAfter {
			there++
		}
	}
	return cluster.Leader != "" && there > (len(cluster.Replicas)+1)/2
}
