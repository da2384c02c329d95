package main

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestTheReasonsThatAWorkerReadsAreThoseOfTheGoldenFile(t *testing.T) {
	text, err := os.ReadFile("../../../test/golden/reasons.json")
	require.NoError(t, err)
	var golden struct {
		TooMany    string `json:"too_many"`
		BeingTaken string `json:"being_taken"`
		Away       string `json:"away"`
		Open       string `json:"open"`
	}
	require.NoError(t, json.Unmarshal(text, &golden))
	require.Equal(t, golden.TooMany, tooMany)
	require.Equal(t, golden.BeingTaken, beingTaken)
	require.Equal(t, golden.Away, away)
	require.Equal(t, golden.Open, stillOpen)
}

func TestOthersWaitBehindWhatIsMovedOrIsForAnEndpointThatIsAway(t *testing.T) {
	require.True(t, verdict{verdict: "queued", reason: "its endpoint is behind"}.blocks())
	require.True(t, verdict{verdict: "wait", reason: away}.blocks())
	require.False(t, verdict{verdict: "wait", reason: beingTaken}.blocks())
	require.False(t, verdict{verdict: "queued", reason: stillOpen}.blocks())
	require.False(t, verdict{verdict: "drop"}.blocks())
}

// judging is a worker whose database answers so.
func judging(t *testing.T, answer func(message) verdict) (w *worker, stop func()) {
	w = newWorker(&config{batch: 64})
	w.taking, stop = context.WithCancel(t.Context())
	asking, give := outlive(w.taking, askFor)
	w.asking = asking
	w.admits = lane(t, answer)
	t.Cleanup(func() { stop(); give() })
	return w, stop
}

func lane(t *testing.T, answer func(message) verdict) *batcher[message, verdict] {
	b := newBatcher(lanes, 1, 1, message.size, func(_ context.Context, all []message) (v []verdict, err error) {
		for _, m := range all {
			v = append(v, answer(m))
		}
		return v, nil
	})
	running, end := context.WithCancel(t.Context())
	go b.run(running)
	t.Cleanup(end)
	return b
}

func TestWhatMakesWayIsJudgedInALaneOfItsOwn(t *testing.T) {
	w, _ := judging(t, func(message) verdict { return verdict{verdict: "deliver"} })
	w.early = lane(t, func(message) verdict { return verdict{verdict: "drop"} })
	w.overflow = lane(t, func(message) verdict { return verdict{verdict: "queued"} })
	for _, c := range []struct {
		msg      jetstream.Msg
		overflow bool
		verdict  string
	}{{stored{}, false, "deliver"}, {stored{}, true, "queued"}, {&early{}, false, "drop"}, {&early{}, true, "drop"}} {
		v, err := w.judge(&event{msg: c.msg}, message{Overflow: c.overflow}, false, func() {}, func() {})
		require.NoError(t, err)
		require.Equal(t, c.verdict, v.verdict)
	}
}

// stored is a message of the stream.
type stored struct {
	jetstream.Msg
	at time.Time
}

func (s stored) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{Timestamp: s.at}, nil
}

func TestAtTheEndWhatThereWasNoRoomForIsGivenBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stop := judging(t, func(message) verdict { return verdict{verdict: "wait", reason: tooMany, wait: time.Minute} })
		stop()
		began := time.Now()
		v, err := w.judge(&event{msg: stored{}}, message{}, false, func() {}, func() {})
		require.NoError(t, err)
		require.Equal(t, "wait", v.verdict)
		require.Equal(t, began, time.Now())
	})
}

func TestAtTheEndWhatMayBeLeasedIsAskedAboutForAsLongAsThereIsTime(t *testing.T) {
	for _, reason := range []string{tooMany, beingTaken} {
		synctest.Test(t, func(t *testing.T) {
			times := 0
			w, stop := judging(t, func(m message) verdict {
				if times++; times > 3 {
					return verdict{verdict: "deliver"}
				}
				return verdict{verdict: "wait", reason: reason, wait: time.Millisecond, repeated: true}
			})
			stop()
			v, err := w.judge(&event{msg: stored{}}, message{}, false, func() {}, func() {})
			require.NoError(t, err)
			require.Equal(t, "deliver", v.verdict)
		})
	}
}

func TestAMessageThatIsAskedAboutForLongIsOfItsAgeAndHasOnePlace(t *testing.T) {
	for _, aside := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var ages []int64
			w, _ := judging(t, func(m message) verdict {
				if ages = append(ages, m.AgeMS); len(ages) > 3 {
					return verdict{verdict: "deliver"}
				}
				return verdict{verdict: "wait", reason: tooMany, wait: time.Second}
			})
			unsent, freed := 0, 0
			v, err := w.judge(&event{msg: stored{at: time.Now()}}, message{}, aside, func() { unsent++ }, func() { freed++ })
			require.NoError(t, err)
			require.Equal(t, "deliver", v.verdict)
			require.Equal(t, []int64{0, 1000, 2000, 3000}, ages)
			require.Equal(t, 1, unsent)
			require.Equal(t, map[bool]int{true: 0, false: 1}[aside], freed)
			require.Zero(t, w.siding.taken.Load())
		})
	}
}
