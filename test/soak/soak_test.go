// Package soak harms everything at random while sessions publish, and audits what became of it.
package soak

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/natsserver"
	"rule_engine/test/postgres"
	"rule_engine/test/proxy"
	"rule_engine/test/system"
	"rule_engine/test/traffic"
	"rule_engine/test/worker"
)

// bundle is a system whose every part can be harmed.
type bundle struct {
	*system.System
	nats    *natsserver.Process
	line    *proxy.Proxy
	workers []*worker.Process
	kills   []time.Time // of workers
	random  *rand.Rand
}

func setup(t *testing.T, opts ...postgres.Option) *bundle {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b := &bundle{nats: natsserver.RunProcess(t), random: rand.New(rand.NewPCG(seed, 0))}
	b.line = proxy.Run(t, b.nats.URL())
	b.System = system.RunWith(t, b.line.URL(), opts...)
	return b
}

// aWhile is long enough for whoever waits to notice, and sometimes for its time-outs.
func (b *bundle) aWhile() { time.Sleep(time.Duration(100+b.random.IntN(2400)) * time.Millisecond) }

// harms are what befalls the parts, each until all is well again.
var harms = []struct {
	name string
	does func(*testing.T, *bundle)
}{
	{"NATS is killed", func(t *testing.T, b *bundle) {
		require.NoError(t, b.nats.Kill())
		b.aWhile()
		require.NoError(t, b.nats.StartAgain())
	}},
	{"NATS stands still", func(t *testing.T, b *bundle) {
		require.NoError(t, b.nats.Freeze())
		b.aWhile()
		require.NoError(t, b.nats.Thaw())
	}},
	{"NATS is a black hole", func(_ *testing.T, b *bundle) {
		b.line.BlackHole()
		b.aWhile()
		b.line.Heal()
		b.line.Cut()
	}},
	{"all connections to NATS are reset", func(_ *testing.T, b *bundle) { b.line.Cut() }},
	{"acks are lost", func(_ *testing.T, b *bundle) {
		b.line.Judge(func(fromServer bool, _ []byte) proxy.Fate {
			if fromServer {
				return proxy.Drop
			}
			return proxy.Pass
		})
		b.aWhile()
		b.line.Heal()
		b.line.Cut()
	}},
	{"backends are terminated", func(t *testing.T, b *bundle) {
		b.must(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+system.Application+"'")
	}},
	{"Postgres crashes", func(t *testing.T, b *bundle) {
		require.NoError(t, b.Postgres.Crash())
		require.NoError(t, b.Postgres.StartAgain())
	}},
	{"a worker is killed", func(t *testing.T, b *bundle) {
		i := b.random.IntN(len(b.workers))
		b.workers[i].Kill()
		b.kills = append(b.kills, time.Now())
		b.workers[i] = worker.Run(t, b.WorkerEnv()...)
	}},
}

func (b *bundle) must(t *testing.T, sql string) {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), b.Postgres.DSN(system.Database, system.Administrator))
	require.NoError(t, err)
	defer admin.Close(t.Context())
	_, err = admin.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestWhateverIsKilledEachCommittedEventIsDeliveredAndNoOther(t *testing.T) { soak(t) }

// Preloaded, the sessions also know from each other that NATS is away.
func TestPreloadedWhateverIsKilledEachCommittedEventIsDeliveredAndNoOther(t *testing.T) {
	soak(t, postgres.Conf("shared_preload_libraries = 'rule_engine'"))
}

func soak(t *testing.T, opts ...postgres.Option) {
	length := traffic.Soak(t)
	if length == 0 {
		t.Parallel()
	}
	b := setup(t, opts...)
	id, err := b.Register(t.Context(), b.Postgres.Connect(t, system.Database, system.Administrator), "orders", "nats")
	require.NoError(t, err)
	harms := harms
	if length == 0 {
		harms = harms[:len(harms)-1] // no worker runs yet
	} else {
		// So that a worker that is killed has something on the wire.
		b.Endpoint.Respond(func(endpoint.Request) endpoint.Answer { return endpoint.Answer{Delay: 20 * time.Millisecond} })
		for range 2 {
			b.workers = append(b.workers, worker.Run(t, b.WorkerEnv()...))
		}
	}
	all := traffic.Start(t, b.System, id, 4, true)
	rounds := 0
	for until := time.Now().Add(length); rounds == 0 || time.Now().Before(until); rounds++ {
		for _, i := range b.random.Perm(len(harms)) {
			all.Part()
			harms[i].does(t, b)
			b.aWhile()
			if rounds == 0 {
				t.Logf("%s: %s", harms[i].name, all.Part())
			}
		}
	}
	t.Logf("%d rounds of %d harms", rounds, len(harms))
	all.Resumes(t, 30*time.Second)
	all.Stop(t)
	if length == 0 {
		// Only now: what a worker that is killed, or a line that is cut, has taken comes back after 75 s.
		b.workers = append(b.workers, worker.Run(t, b.WorkerEnv()...))
	}
	all.Audit(t, 4*time.Minute, b.kills)
	require.NotContains(t, b.Postgres.LogText(), "was terminated by signal")
}
