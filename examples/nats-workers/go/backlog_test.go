package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// come has so many new messages come, of each webhook in turn.
func (b *backlog) come(n, pending int, webhooks ...int32) {
	for i := range n {
		b.came(webhooks[i%len(webhooks)], 0, 0, uint64(pending), false)
	}
}

func TestAFewWebhooksHoldUpOthersWithALongBacklog(t *testing.T) {
	var b backlog
	b.come(leastSeen-1, manyPending, 1)
	require.False(t, b.holdsUp(), "too little was seen")
	b.come(1, manyPending, 1)
	require.True(t, b.holdsUp())
	b.reads(1, 1)
	require.True(t, b.leaves(1, 1))
	require.False(t, b.leaves(2, 1))

	b.come(1, manyPending-1, 1)
	require.False(t, b.holdsUp(), "what is left is passed in no time")
	b.come(1, manyPending, 1)
	require.True(t, b.holdsUp())
	b.over()
	require.False(t, b.holdsUp())
	b.come(1, manyPending, 1)
	require.False(t, b.holdsUp(), "it is forgotten")
}

func TestAFewMessagesThatTakeLongHoldUpOthers(t *testing.T) {
	var b backlog
	b.come(leastSeen, 1, 1)
	require.False(t, b.holdsUp())
	b.came(1, 0, longWait, 1, false)
	require.True(t, b.holdsUp())
	b.came(1, 0, longWait, 0, false)
	require.False(t, b.holdsUp(), "nothing is behind it")
	b.came(1, 0, time.Hour, 1, true)
	require.False(t, b.holdsUp(), "it has waited for its next try")
}

func TestWhereManyHaveABacklogNobodyIsPassed(t *testing.T) {
	var few, many []int32
	for id := range int32(2 * large) {
		many = append(many, id+1)
	}
	few = many[:large]
	var b backlog
	b.come(lookedAt, manyPending, few...)
	require.True(t, b.holdsUp())
	b.come(lookedAt, manyPending, many...)
	require.False(t, b.holdsUp())
	b.come(lookedAt/2, manyPending, 1)
	require.True(t, b.holdsUp())
	b.reads(1, 1)
	require.True(t, b.leaves(1, 1))
	require.False(t, b.leaves(2, 1), "its part is small")
}

func TestThoseWhoseMessagesMoveToTheQueueHoldUpOthersHoweverManyTheyAre(t *testing.T) {
	var many []int32
	for id := range int32(2 * large) {
		many = append(many, id+1)
	}
	var b backlog
	b.reads(1, 1)
	b.come(lookedAt, manyPending, many...)
	for _, id := range many[:large-1] {
		b.move(id)
	}
	require.False(t, b.holdsUp(), "half of what waits is delivered")
	b.move(large)
	require.True(t, b.holdsUp())
	require.True(t, b.leaves(large, 1))
	require.False(t, b.leaves(large+1, 1))
	b.moved[1] = time.Now().Add(-lately)
	require.False(t, b.holdsUp())
	require.False(t, b.leaves(1, 1))
	b.over()
	require.False(t, b.leaves(large, 1))
}

func TestWhatComesAgainAndAgainHoldsUpOthers(t *testing.T) {
	var b backlog
	for range manyAgain {
		require.False(t, b.holdsUp())
		b.came(1, 0, 0, 0, true)
	}
	require.True(t, b.holdsUp())
	b.come(manyAgain, 0, 1)
	require.True(t, b.holdsUp())
	b.come(1, 0, 1)
	require.True(t, b.holdsUp())
	b.come(1, 0, 1)
	require.False(t, b.holdsUp())
	b.come(lookedAt, 0, 1)
	require.False(t, b.holdsUp())
}

func TestMessagesWithoutAWebhookAreNobodysBacklog(t *testing.T) {
	var b backlog
	b.come(lookedAt, manyPending, 0)
	require.False(t, b.holdsUp())
}

func TestWhatWasReadPastABacklogHoldsUpWhatIsBehindIt(t *testing.T) {
	come := func(b *backlog, webhook int32, sequence uint64) {
		for range lookedAt {
			b.came(webhook, sequence, 0, manyPending, false)
		}
	}
	var b backlog
	come(&b, 1, 99)
	b.reads(100, 200)
	require.True(t, b.leaves(1, 150))
	require.False(t, b.leaves(2, 151))

	come(&b, 2, 151)
	require.True(t, b.holdsUp())
	require.False(t, b.leaves(2, 200), "what was read of it is nobody's backlog")
	come(&b, 1, 150)
	require.True(t, b.leaves(1, 200), "this was left to the consumer")
	come(&b, 2, 200)
	require.True(t, b.leaves(2, 201), "this was not read")
	come(&b, 2, 152)
	require.False(t, b.leaves(2, 202), "what was left of it is behind this")
}
