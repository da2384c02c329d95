package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/natsserver"
	"rule_engine/test/system"
	"rule_engine/test/traffic"
	"rule_engine/test/worker"
)

// A calamity is what happens to a cluster, until it is whole again.
type calamity struct {
	name    string
	happens func(*natsserver.Cluster) error
}

var calamities = []calamity{
	{"the leader is killed", func(c *natsserver.Cluster) error {
		leader, err := c.Leader(system.Stream, nil)
		if err == nil {
			err = leader.Kill()
		}
		if err == nil {
			_, err = c.Leader(system.Stream, leader)
		}
		if err == nil {
			err = leader.StartAgain()
		}
		return err
	}},
	{"the leader steps down", func(c *natsserver.Cluster) error { return c.StepDown(system.Stream) }},
	{"the leader is cut off", func(c *natsserver.Cluster) error {
		leader, err := c.Leader(system.Stream, nil)
		if err != nil {
			return err
		}
		if err = leader.Freeze(); err == nil {
			_, err = c.Leader(system.Stream, leader)
		}
		return errors.Join(err, leader.Thaw())
	}},
	{"all are rolled", func(c *natsserver.Cluster) error {
		for _, p := range c.Members {
			if err := p.Stop(); err != nil {
				return err
			}
			if err := p.StartAgain(); err != nil {
				return err
			}
			if err := c.Whole(system.Stream); err != nil {
				return err
			}
		}
		return nil
	}},
}

func TestACommittedEventIsDeliveredOnceWhileAClusterLosesItsMembers(t *testing.T) {
	b := setup(t)
	soak := traffic.Soak(t)
	if soak > 0 {
		worker.Run(t, b.WorkerEnv()...)
		worker.Run(t, b.WorkerEnv()...)
	}
	all := traffic.Start(t, b.System, b.webhook, 4, false)
	for until := time.Now().Add(soak); ; {
		for _, c := range calamities {
			all.Part()
			require.NoError(t, c.happens(b.nats), c.name)
			require.NoError(t, b.nats.Whole(system.Stream), c.name)
			t.Logf("%s: %s", c.name, all.Part())
		}
		if time.Now().After(until) {
			break
		}
	}
	all.Resumes(t, time.Minute)
	all.Stop(t)
	if soak == 0 {
		// Only now: what a worker had fetched from a member that was killed comes back after 75 s.
		worker.Run(t, b.WorkerEnv()...)
	}
	all.Audit(t, 3*time.Minute, nil)
}
