package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// smallWindow is what a webhook begins with, and what is left of its window when its endpoint is away.
	smallWindow = 8
	// patience is how long an event may wait for its endpoint before it makes way for others'.
	patience = 250 * time.Millisecond
	// fullFor is how long an endpoint may use all that it gets before its events make way:
	// each is sent soon, and yet what stands behind them in the stream waits for all of them.
	fullFor = time.Second
	// brisk is an answer so soon that moving the endpoint's events aside would take as long as sending them.
	brisk = 25 * time.Millisecond
	// remembered is how long a window outlives its last event. A quick endpoint is done with
	// all of a claim before the next one, which is to bring more.
	remembered = 10 * time.Second
	// heard is how long after an answer an endpoint is not one of those that answer nothing.
	heard = 2 * time.Second
)

// windows bounds for each webhook how many requests are under way and how many
// events are in hand, so that one endpoint leaves room for the others whatever
// its backlog is. In hand are at most twice as many as may be under way, so that
// the database judges the next ones meanwhile; of an endpoint that answers nothing
// at most its share of the siding.
type windows struct {
	most   int           // BATCH_SIZE
	room   chan struct{} // filled when a webhook that a claim left out has room again
	siding *siding

	mu   sync.Mutex
	byID map[int32]*window // those with an event in hand, one that waits to be, or one a while ago
}

type window struct {
	size   int
	busy   int         // requests under way
	held   int         // events in hand, those under way included
	aside  int         // those of them that have waited for as long as patience, to be sent or for the answer
	turns  []turn      // events in hand that wait to be sent
	comers []chan bool // messages that wait to be in hand
	// behind says that events have waited for long, or the window was full for long. Messages are then not waited
	// with: the queue is where the endpoint's events wait, in their order.
	behind bool
	// more says that the queue may have rows of it, for which messages leave some
	// room; wanted that a claim left it out for the lack of it.
	more, wanted bool
	answered     time.Time // when the endpoint last kept nobody waiting in vain
	full         time.Time // since when each answer finds an event that waits and no room to grow; zero: not now, or the endpoint is brisk
	idle         time.Time // since when nothing is in hand and nothing waits; zero: something is or does
}

// turn is an event's that waits to be sent.
type turn struct {
	come     chan bool // false: it is not to be sent any more
	recalled func() bool
}

func newWindows(most int, s *siding) *windows {
	return &windows{most: most, room: make(chan struct{}, 1), siding: s, byID: map[int32]*window{}}
}

func (s *windows) smallest() int { return min(smallWindow, s.most) }

func (s *windows) of(id int32) *window {
	w := s.byID[id]
	if w == nil || w.forgotten() {
		w = &window{size: s.smallest()}
		s.byID[id] = w
	}
	w.idle = time.Time{}
	return w
}

func (w *window) forgotten() bool { return !w.idle.IsZero() && time.Since(w.idle) > remembered }

// settle lets through what may go on after a change.
func (s *windows) settle(id int32, w *window) {
	for len(w.turns) > 0 && w.busy < w.size {
		w.busy++
		w.turns[0].come <- true
		w.turns = w.turns[1:]
	}
	most := s.bound(w)
	if w.held <= most/4 {
		w.behind = false
	}
	if w.aside > 0 && w.held >= most && most < 2*w.size {
		w.behind = true
	}
	if w.more {
		most = enough(most)
	}
	for len(w.comers) > 0 && (w.behind || w.held < most) {
		if !w.behind {
			w.held++
		}
		w.comers[0] <- !w.behind
		w.comers = w.comers[1:]
	}
	if w.wanted && s.roomOf(w) > 0 {
		w.wanted = false
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
	if w.held == 0 && len(w.comers) == 0 {
		w.idle = time.Now()
		if w.size == s.smallest() {
			delete(s.byID, id)
		}
	}
}

// bound is how many events may be in hand. Where many endpoints hang one that answers keeps
// what it began with, and all that it has while no more than that of it take long.
func (s *windows) bound(w *window) int {
	share := s.siding.share()
	if time.Since(w.answered) < heard {
		if share = max(share, 2*s.smallest()); w.aside < share {
			return 2 * w.size
		}
	}
	return min(2*w.size, share)
}

// enough is so much of a bound in hand that a claim for the rest would not be worth it.
func enough(bound int) int { return max(1, bound*3/4) }

// roomOf is how many rows a claim may bring.
func (s *windows) roomOf(w *window) int {
	bound := s.bound(w)
	if w.held > enough(bound) {
		return 0
	}
	return bound - w.held
}

// short says that there would be use for more.
func (w *window) short() bool {
	return w.busy >= w.size || len(w.comers) > 0 || w.wanted
}

// take waits until a message may be in hand. It may not when its endpoint is behind.
func (s *windows) take(ctx context.Context, id int32) (inHand bool, err error) {
	come := make(chan bool, 1)
	s.mu.Lock()
	w := s.of(id)
	w.comers = append(w.comers, come)
	s.settle(id, w)
	s.mu.Unlock()
	select {
	case inHand = <-come:
		return inHand, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(w.comers, come); i >= 0 {
		w.comers = slices.Delete(w.comers, i, i+1)
	} else if <-come {
		w.held--
	}
	s.settle(id, w)
	return false, ctx.Err()
}

// add has an event in hand that the database gave: a row, or a message that it could not move.
func (s *windows) add(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.of(id)
	w.held++
	w.more = true
}

// unsent notes of an event in hand that it is not for its endpoint now: where all
// are such, the endpoint bounds nothing.
func (s *windows) unsent(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byID[id]
	w.answered = time.Now()
	if len(w.turns) == 0 && w.short() {
		w.size = min(s.most, w.size+1)
	}
	s.settle(id, w)
}

// shunt frees the slot of an event in hand when it has waited for as long as patience lasts,
// until end is called.
func (s *windows) shunt(id int32, size int, free func()) (end func()) {
	return afterPatience(&s.mu, func() bool {
		w := s.byID[id]
		w.aside++
		s.siding.add(size)
		s.settle(id, w)
		free()
		return true
	}, func() {
		s.byID[id].aside--
		s.siding.leave(size)
	})
}

// put lays an event down that was in hand.
func (s *windows) put(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byID[id]
	w.held--
	s.settle(id, w)
}

// enter waits until a request for an event in hand may be under way. It may not when the event is recalled.
func (s *windows) enter(ctx context.Context, id int32, recalled func() bool) (may bool, err error) {
	own := turn{make(chan bool, 1), recalled}
	s.mu.Lock()
	if recalled() {
		s.mu.Unlock()
		return false, nil
	}
	w := s.byID[id]
	w.turns = append(w.turns, own)
	s.settle(id, w)
	s.mu.Unlock()
	if len(own.come) > 0 {
		return <-own.come, nil
	}
	waits := func(t turn) bool { return t.come == own.come }
	late := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.ContainsFunc(w.turns, waits) {
			w.behind = true
			s.settle(id, w)
		}
	})
	defer late.Stop()
	select {
	case may = <-own.come:
		return may, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(w.turns, waits); i >= 0 {
		w.turns = slices.Delete(w.turns, i, i+1)
	} else if <-own.come {
		w.busy--
		s.settle(id, w)
	}
	return false, ctx.Err()
}

// recall ends the wait of those of a webhook's events that are recalled by now.
func (s *windows) recall(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byID[id]
	if w == nil {
		return
	}
	w.turns = slices.DeleteFunc(w.turns, func(t turn) bool {
		gone := t.recalled()
		if gone {
			t.come <- false
		}
		return gone
	})
}

// leave ends what enter began, with what became of the request.
func (s *windows) leave(id int32, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byID[id]
	w.size = resized(w.size, s.most, w.short(), o)
	if o.result == "answered" || o.result == "failed" && o.duration < patience {
		w.answered = time.Now()
	}
	switch {
	case len(w.turns) == 0 || w.size < s.most || o.duration < brisk:
		w.full = time.Time{}
	case w.full.IsZero():
		w.full = time.Now()
	case time.Since(w.full) > fullFor:
		w.behind = true
	}
	w.busy--
	s.settle(id, w)
}

// rooms says for a claim how many rows of each webhook there is room for; "" are
// all those that have no window.
func (s *windows) rooms() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := map[string]int{"": min(2*s.smallest(), s.siding.share())}
	for id, w := range s.byID {
		if w.forgotten() {
			delete(s.byID, id)
			continue
		}
		n := s.roomOf(w)
		w.more, w.wanted = n == 0, n == 0
		rooms[strconv.Itoa(int(id))] = n
	}
	return rooms
}

// resized is a window's size after a request. It grows while it is too small for an
// endpoint that answers, however slowly, since events that wait make way for others';
// it halves with each outage.
func resized(size, most int, short bool, o outcome) int {
	switch {
	case o.result == "released":
		return size
	case o.outage():
		return max(min(smallWindow, most), size/2)
	case short:
		return min(most, size+1)
	}
	return size
}
