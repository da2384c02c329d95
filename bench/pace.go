package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	publishers = 4
	// lateAtMost is how long events that were published at a pace are waited for.
	lateAtMost = 20 * time.Second
)

var errNonePaced = errors.New("no events were published")

// paced are events that are published at a steady rate, whatever becomes of them, to one webhook after
// the other. An event has a number, by which its first request is known.
type paced struct {
	prefix string
	hooks  []int32
	begun  atomic.Int64

	mu         sync.Mutex
	committing map[int]time.Time
	first      map[int]time.Time
}

// watch makes the target look out for events of this name.
func (s *setup) watch(name string, hooks []int32) *paced {
	p := &paced{prefix: name + "-", hooks: hooks, committing: map[int]time.Time{}, first: map[int]time.Time{}}
	s.target.paced.Store(p)
	return p
}

// arrived notes a request, of whatever event.
func (p *paced) arrived(id string) {
	number, ours := strings.CutPrefix(id, p.prefix)
	if !ours {
		return
	}
	now := time.Now()
	i, _ := strconv.Atoi(number)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, before := p.first[i]; !before {
		p.first[i] = now
	}
}

// publish publishes so many a second until ctx ends.
func (p *paced) publish(ctx context.Context, s *setup, perSecond float64) error {
	all, end, err := s.sessions(context.WithoutCancel(ctx), publishers)
	if err != nil {
		return err
	}
	defer end()
	began := time.Now()
	failed := make([]error, publishers)
	var done sync.WaitGroup
	for n, one := range all {
		done.Go(func() {
			for failed[n] == nil {
				i := int(p.begun.Add(1)) - 1
				select {
				case <-time.After(time.Until(began.Add(time.Duration(float64(i) / perSecond * float64(time.Second))))):
				case <-ctx.Done():
					return
				}
				failed[n] = p.publishOne(context.WithoutCancel(ctx), one.conn, s.payload, i)
			}
		})
	}
	done.Wait()
	return errors.Join(failed...)
}

// publishOne notes the moment before the commit, so that the commit's own time counts as lateness.
func (p *paced) publishOne(ctx context.Context, conn *pgx.Conn, payload string, i int) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "SELECT rule_webhook_call_unified($1, $2, $3)", p.hooks[i%len(p.hooks)], payload, p.prefix+strconv.Itoa(i))
	if err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	p.mu.Lock()
	p.committing[i] = time.Now()
	p.mu.Unlock()
	return tx.Commit(ctx)
}

// late looks at the events of some of the webhooks, when all have arrived or lateAtMost is over. The first tenth
// is left out: sessions, connections and plans are made in it.
func (p *paced) late(ctx context.Context, of func(hook int) bool) (l lateness, err error) {
	for deadline := time.Now().Add(lateAtMost); ; {
		if l = p.lateNow(of); len(l.sorted) == 0 {
			return l, errNonePaced
		}
		if l.missing == 0 || time.Now().After(deadline) {
			return l, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return l, ctx.Err()
		}
	}
}

func (p *paced) lateNow(of func(hook int) bool) (l lateness) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, committing := range p.committing {
		if i < len(p.committing)/10 || !of(i%len(p.hooks)) {
			continue
		}
		first, arrived := p.first[i]
		if !arrived {
			first = time.Now()
			l.missing++
		}
		l.sorted = append(l.sorted, float64(first.Sub(committing).Microseconds())/1000)
	}
	slices.Sort(l.sorted)
	return l
}
