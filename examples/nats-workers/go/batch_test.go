package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestQuestionsThatWaitTogetherTravelTogether(t *testing.T) {
	for _, most := range []int{1, lanes} {
		synctest.Test(t, func(t *testing.T) { travelTogether(t, most) })
	}
}

func travelTogether(t *testing.T, most int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gate := make(chan struct{})
	var calls atomic.Int32
	b := newBatcher(most, 64, 1, nothing, func(_ context.Context, q []int) ([]int, error) {
		calls.Add(1)
		<-gate
		return q, nil
	})
	go b.run(ctx)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			a, err := b.ask(ctx, i)
			require.NoError(t, err)
			require.Equal(t, i, a)
		})
		synctest.Wait() // each lane has begun its first call with one question
	}
	require.EqualValues(t, most, calls.Load())
	close(gate)
	all.Wait()
	require.LessOrEqual(t, calls.Load(), int32(2*most))
}

func TestQuestionsDoNotWaitForACallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var calls atomic.Int32
		b := newBatcher(lanes, 64, 32, nothing, func(ctx context.Context, q []int) ([]int, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
			}
			return q, ctx.Err()
		})
		var hung sync.WaitGroup
		for range 2 * few {
			hung.Go(func() { _, _ = b.ask(ctx, 1) })
		}
		synctest.Wait()
		go b.run(ctx)
		synctest.Wait()
		began := time.Now()
		_, err := b.ask(ctx, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), hangs)
		cancel()
		hung.Wait()
	})
}

func TestASecondCallIsMadeForEnoughQuestionsOrWhenThereIsLittleToDo(t *testing.T) {
	for name, c := range map[string]struct{ first, few, rest int }{
		"under load": {first: 8, few: 7, rest: 1},
		"quiet":      {first: 1, few: 0, rest: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				var calls atomic.Int32
				b := newBatcher(lanes, 64, 8, nothing, func(_ context.Context, q []int) ([]int, error) {
					calls.Add(1)
					<-gate
					return q, nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var all sync.WaitGroup
				ask := func(n int) {
					for range n {
						all.Go(func() { _, _ = b.ask(ctx, 1) })
					}
					synctest.Wait()
				}
				ask(c.first)
				go b.run(ctx)
				synctest.Wait()
				ask(c.few)
				require.EqualValues(t, 1, calls.Load())
				ask(c.rest)
				require.EqualValues(t, 2, calls.Load())
				ask(20)
				require.EqualValues(t, lanes, calls.Load())
				close(gate)
				all.Wait()
			})
		})
	}
}

func TestOneQuestionThatIsRefusedDoesNotFailTheOthers(t *testing.T) {
	refused := errors.New("refused")
	b := newBatcher(lanes, 64, 1, nothing, func(_ context.Context, q []int) ([]int, error) {
		if slices.Contains(q, 13) {
			return nil, refused
		}
		return q, nil
	})
	var replies []chan answered[int]
	var batch []asked[int, int]
	for i := range 20 {
		replies = append(replies, make(chan answered[int], 1))
		batch = append(batch, asked[int, int]{i, replies[i]})
	}
	b.serve(t.Context(), batch)
	for i, r := range replies {
		a := <-r
		if i == 13 {
			require.ErrorIs(t, a.err, refused)
			continue
		}
		require.NoError(t, a.err)
		require.Equal(t, i, a.answer)
	}
}

func TestSlotsAreNeverMoreThanTheyWere(t *testing.T) {
	s := newSlots(8)
	n, err := s.take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 8, n)
	s.give(1)
	n, err = s.take(t.Context()) // alone, after a moment
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestNoSlotIsTakenAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		_, err := newSlots(1).take(ctx)
		require.Error(t, err, "although one is free")
	}
}

func nothing(int) int { return 0 }

func TestTheBytesOfABatchAreBounded(t *testing.T) {
	first := make(chan struct{})
	var largest atomic.Int64
	b := newBatcher(lanes, 64, 64, func(q int) int { return q }, func(_ context.Context, q []int) ([]int, error) {
		<-first // all the others gather behind the first ones
		bytes := 0
		for _, n := range q {
			bytes += n
		}
		largest.Store(max(largest.Load(), int64(bytes)))
		return q, nil
	})
	go b.run(t.Context())
	var asking sync.WaitGroup
	for range 60 {
		asking.Go(func() { _, _ = b.ask(t.Context(), mostBatch/4) })
	}
	for len(b.waiting) < 60-3*4 { // two calls are under way, and a third batch is full
		time.Sleep(time.Millisecond)
	}
	close(first)
	asking.Wait()
	require.LessOrEqual(t, largest.Load(), int64(mostBatch))
}

func TestWhatIsTooLargeForPostgresIsAtFaultAndNotAnOutage(t *testing.T) {
	require.True(t, atFault(&pgconn.PgError{Code: "54000"}))
	require.False(t, atFault(&pgconn.PgError{Code: "53300"}))
}
