package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAWindowGrowsAndShrinksAsInEveryLanguage(t *testing.T) {
	var golden struct {
		Windows []struct {
			Size, Most, Status, MS, Want int
			Short                        bool
			Result                       string
		}
	}
	text, err := os.ReadFile("../../../test/golden/windows.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &golden))
	require.NotEmpty(t, golden.Windows)
	for _, c := range golden.Windows {
		o := outcome{result: c.Result, status: c.Status, duration: time.Duration(c.MS) * time.Millisecond}
		require.Equal(t, c.Want, resized(c.Size, c.Most, c.Short, o), "%+v", c)
	}
}

// kept is of an event that is not recalled.
func kept() bool { return false }

// fill has as many messages of a webhook in hand as there may be, and as many requests under way.
func fill(t *testing.T, s *windows, id int32) {
	t.Helper()
	for range 2 * smallWindow {
		in, err := s.take(t.Context(), id)
		require.NoError(t, err)
		require.True(t, in)
	}
	for range smallWindow {
		may, err := s.enter(t.Context(), id, kept)
		require.NoError(t, err)
		require.True(t, may)
	}
}

var quick, failed = outcome{result: "answered", status: 200}, outcome{result: "failed"}

func TestAMessageWaitsToBeInHandWhileItsEndpointIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(64, newSiding(64))
		fill(t, s, 1)
		short, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		_, err := s.take(short, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded, "nothing in hand waits to be sent, so the endpoint is not slow")

		come := make(chan bool, 1)
		go func() {
			in, _ := s.take(t.Context(), 1)
			come <- in
		}()
		s.leave(1, quick) // of a full window: it grows by one, and what is in hand by two
		require.True(t, <-come)
		in, err := s.take(t.Context(), 2)
		require.NoError(t, err)
		require.True(t, in, "each webhook has a window of its own")
	})
}

func TestMessagesAreTooManyOnceAnEventHasWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(64, newSiding(64))
		fill(t, s, 1)
		waiting, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := s.enter(waiting, 1, kept)
			ended <- err
		}()
		in, err := s.take(t.Context(), 1)
		require.NoError(t, err)
		require.False(t, in)

		// They come by the queue from then on, until little is in hand.
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
		for range smallWindow {
			s.leave(1, failed)
		}
		for range 2*smallWindow - smallWindow/2 - 1 {
			s.put(1)
		}
		in, err = s.take(t.Context(), 1)
		require.NoError(t, err)
		require.False(t, in)
		s.put(1)
		in, err = s.take(t.Context(), 1)
		require.NoError(t, err)
		require.True(t, in)
	})
}

func TestMessagesAreTooManyOnceTheLargestWindowHasBeenFullForLongUnlessAnswersAreBrisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(smallWindow, newSiding(64))
		answers := map[int32]outcome{
			1: {result: "answered", status: 200, duration: brisk},
			2: {result: "answered", status: 200, duration: brisk - 1},
		}
		for id := range answers {
			fill(t, s, id)
			go func() { _, _ = s.enter(t.Context(), id, kept) }()
		}
		// Each goes soon: another one waits by then.
		for began := time.Now(); time.Since(began) < fullFor+patience; time.Sleep(patience / 5) {
			for id, o := range answers {
				go func() { _, _ = s.enter(t.Context(), id, kept) }()
				s.leave(id, o)
			}
		}
		require.True(t, s.byID[1].behind)
		require.False(t, s.byID[2].behind)
		in, err := s.take(t.Context(), 1)
		require.NoError(t, err)
		require.False(t, in)
	})
}

func TestARecallEndsTheWaitOfThoseThatAreRecalled(t *testing.T) {
	s := newWindows(64, newSiding(64))
	fill(t, s, 1)
	var gone atomic.Bool
	enter := func(recalled func() bool) chan bool {
		end := make(chan bool, 1)
		before := waiting(s, 1)
		go func() {
			may, _ := s.enter(t.Context(), 1, recalled)
			end <- may
		}()
		require.Eventually(t, func() bool { return waiting(s, 1) == before+1 }, time.Minute, time.Millisecond)
		return end
	}
	first, other, last := enter(gone.Load), enter(kept), enter(gone.Load)
	s.recall(1)
	s.recall(2)
	require.Equal(t, 3, waiting(s, 1))
	gone.Store(true)
	s.recall(1)
	require.False(t, <-first)
	require.False(t, <-last)
	require.Equal(t, 1, waiting(s, 1))
	may, err := s.enter(t.Context(), 1, gone.Load)
	require.NoError(t, err)
	require.False(t, may, "it does not even begin to wait")
	// Those that are gone took no place.
	s.leave(1, failed)
	require.True(t, <-other)
	require.Equal(t, smallWindow, s.byID[1].busy)
}

func waiting(s *windows, id int32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID[id].turns)
}

func TestAClaimIsToldWhatThereIsRoomForAndWhenThereIsMore(t *testing.T) {
	s := newWindows(64, newSiding(64))
	require.Equal(t, map[string]int{"": 16}, s.rooms())
	fill(t, s, 1)
	s.add(2)
	require.Equal(t, map[string]int{"": 16, "1": 0, "2": 15}, s.rooms())
	for range smallWindow / 2 {
		require.Empty(t, s.room)
		s.leave(1, failed)
		s.put(1)
	}
	<-s.room
	require.Equal(t, 4, s.rooms()["1"])
}

func TestMessagesLeaveRoomForTheQueue(t *testing.T) {
	s := newWindows(64, newSiding(64))
	fill(t, s, 1)
	go func() { _, _ = s.take(t.Context(), 1) }()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.byID[1].comers) > 0
	}, time.Minute, time.Millisecond)
	require.Equal(t, 0, s.rooms()["1"])
	for range smallWindow / 2 {
		require.Empty(t, s.room)
		s.put(1)
	}
	<-s.room
	require.Equal(t, 4, s.rooms()["1"])
	// Nothing came of it: the message's turn.
	s.put(1)
	require.Equal(t, 2*smallWindow-smallWindow/2, s.byID[1].held)
}

func TestEventsThatAreNotForTheirEndpointNowWidenItsWindow(t *testing.T) {
	s := newWindows(64, newSiding(64))
	for range 2 * smallWindow {
		_, err := s.take(t.Context(), 1)
		require.NoError(t, err)
	}
	come := make(chan bool, 1)
	go func() {
		in, _ := s.take(t.Context(), 1)
		come <- in
	}()
	for len(come) == 0 {
		s.unsent(1)
		s.put(1)
		_, err := s.take(t.Context(), 1)
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
	}
	require.Greater(t, s.byID[1].size, smallWindow)
}

func TestAWindowIsForgottenAWhileAfterItsLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(64, newSiding(64))
		for _, id := range []int32{1, 2} {
			fill(t, s, id)
			for range smallWindow {
				s.leave(id, map[int32]outcome{1: quick, 2: failed}[id])
			}
			for range 2 * smallWindow {
				s.put(id)
			}
		}
		// One that is as small as any need not be kept.
		require.Equal(t, map[string]int{"": 16, "1": 18}, s.rooms())
		s.byID[1].idle = time.Now().Add(-2 * remembered)
		require.Equal(t, map[string]int{"": 16}, s.rooms())
		require.Empty(t, s.byID)

		s.byID[1] = &window{size: 64, idle: time.Now().Add(-2 * remembered)}
		s.add(1)
		require.Equal(t, smallWindow, s.byID[1].size)
	})
}

func TestAnEventThatWaitsForTheDatabaseFreesItsSlotWhileThereIsRoomAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &siding{most: 1}
		freed := make(chan int, 2)
		first := s.shunt(0, func() { freed <- 1 })
		require.Equal(t, 1, <-freed)
		second := s.shunt(0, func() { freed <- 2 })
		time.Sleep(2 * patience)
		require.Empty(t, freed)
		second()
		require.EqualValues(t, 1, s.taken.Load())
		first()
		require.Zero(t, s.taken.Load())
		s.shunt(0, func() { freed <- 3 })()
		require.Empty(t, freed)
	})
}

// hang has so many messages of a webhook in hand whose requests nobody answers, and frees their slots.
func hang(t *testing.T, s *windows, id int32, n int) (end func()) {
	t.Helper()
	freed, ends := make(chan bool, n), []func(){}
	for range n {
		in, err := s.take(t.Context(), id)
		require.NoError(t, err)
		require.True(t, in)
		ends = append(ends, s.shunt(id, 0, func() { freed <- true }))
	}
	for range n {
		<-freed
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

func TestTheMoreEndpointsHangTheFewerEventsOfEachAreInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(64, &siding{most: 40})
		require.Equal(t, map[string]int{"": 16}, s.rooms())
		for _, c := range []struct {
			id    int32
			takes int
		}{{1, 16}, {2, 12}, {3, 6}, {4, 3}, {5, 1}, {6, 1}, {7, 1}} {
			end := hang(t, s, c.id, c.takes)
			in, err := s.take(t.Context(), c.id)
			require.NoError(t, err)
			require.Equal(t, false, in, "of endpoint %d", c.id)
			require.Zero(t, s.rooms()[strconv.Itoa(int(c.id))])
			defer end()
		}
		require.Equal(t, 1, s.rooms()[""])
		require.EqualValues(t, 40, s.siding.taken.Load())
	})
}

func TestAnEndpointThatAnswersKeepsItsWindowWhereManyHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWindows(64, &siding{most: 1})
		for id := range int32(3) {
			defer hang(t, s, id+1, 1)()
		}
		in, err := s.take(t.Context(), 4)
		require.NoError(t, err)
		require.True(t, in)
		come := make(chan bool, 1)
		go func() {
			in, _ := s.take(t.Context(), 4)
			come <- in
		}()
		time.Sleep(patience / 10)
		require.Empty(t, come, "it has answered nothing yet")
		may, err := s.enter(t.Context(), 4, kept)
		require.NoError(t, err)
		require.True(t, may)
		s.leave(4, outcome{result: "answered", status: 200, duration: patience / 10})
		require.True(t, <-come)
		require.Equal(t, 16, s.rooms()["4"], "its window has grown by one")
		defer hang(t, s, 4, 16)()
		in, err = s.take(t.Context(), 4)
		require.NoError(t, err)
		require.False(t, in, "that is all")
	})
}

func TestLargeEventsTakeMorePlacesAside(t *testing.T) {
	s := newSiding(64)
	require.EqualValues(t, mostAside, s.most)
	require.EqualValues(t, 8000, newSiding(1000).most)
	require.EqualValues(t, 1, s.places(1000))
	held := 0
	for s.enter(1 << 20) {
		held += 1 << 20
	}
	require.InDelta(t, mostLoad/2, held, mostLoad/20)
}
