package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/nats"
)

func placeOf(t *testing.T, o outages, c *configuration) *outage {
	t.Helper()
	place, err := o.of(1, c)
	require.NoError(t, err)
	return place.(*outage)
}

func TestAnOutageIsToldAndOneAtATimeLooksWhetherItLasts(t *testing.T) {
	shared := make(outages, 64)
	one, two := placeOf(t, shared, &configuration{id: 1}), placeOf(t, shared, &configuration{id: 1})
	expect := func(o *outage, told nats.Told, try bool) {
		t.Helper()
		was, turn := o.Known(time.Minute)
		require.Equal(t, told, was)
		require.Equal(t, try, turn)
	}
	expect(two, nats.Nothing, false)
	one.Away(nats.TimedOut, time.Minute)
	expect(two, nats.TimedOut, false)
	one.Away(nats.Refused, 0)
	told, try := two.Known(0)
	require.Equal(t, nats.Refused, told)
	require.False(t, try, "without a lease nobody's turn comes")
	expect(two, nats.Refused, true)
	expect(one, nats.Refused, false)
	two.Back()
	expect(one, nats.Stands, false)
}

func TestAChangedConfigurationIsNotTakenForTheOldOne(t *testing.T) {
	shared := make(outages, 64)
	c := configuration{id: 1, Config: nats.Config{URLs: []string{"nats://a"}, Password: "a"}}
	placeOf(t, shared, &c).Away(nats.Refused, time.Minute)
	c.Password = "b"
	told, _ := placeOf(t, shared, &c).Known(0)
	require.Equal(t, nats.Nothing, told)
	other, err := shared.of(2, &configuration{id: 1, Config: nats.Config{URLs: c.URLs, Password: "a"}})
	require.NoError(t, err)
	told, _ = other.Known(0)
	require.Equal(t, nats.Nothing, told, "in another database")
	// Back in the place of another says nothing.
	one, two := &outage{word: &shared[0], tag: 1}, &outage{word: &shared[0], tag: 2}
	one.Away(nats.Lost, time.Minute)
	two.Back()
	told, _ = one.Known(0)
	require.Equal(t, nats.Lost, told)
}

func TestWhateverStandsInTheTableCountsForAWhileOnly(t *testing.T) {
	shared := make(outages, 1)
	o := &outage{word: &shared[0], tag: 7}
	at := func(told nats.Told, when time.Duration) nats.Told {
		shared[0].Store(o.pack(told, now()+uint64(when.Milliseconds())))
		was, _ := o.Known(time.Second)
		return was
	}
	const margin = 10 * time.Second
	require.Equal(t, nats.Failed, at(nats.Failed, outageCounts-margin))
	require.Equal(t, nats.Nothing, at(nats.Failed, outageCounts+margin))
	require.Equal(t, nats.Failed, at(nats.Failed, margin-outageCounts))
	require.Equal(t, nats.Nothing, at(nats.Failed, -margin-outageCounts))
	require.Equal(t, nats.Nothing, at(nats.Stands, -margin-outageCounts))
	require.Equal(t, nats.Nothing, at(nats.Stands, margin))
	o.Away(nats.TimedOut, time.Hour)
	left := (shared[0].Load() - now()) & timeMask
	require.LessOrEqual(t, left, uint64(outageCounts.Milliseconds()))
	shared[0].Store(^uint64(0))
	_, _ = o.Known(0)
}
