package natsserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rule_engine/test/port"
)

var (
	errNoStream = errors.New("no member answers for the stream")
	errNoLeader = errors.New("the stream has no other leader")
	errNotWhole = errors.New("the cluster did not become whole in time")
)

// together is what a cluster of processes may take to agree, on a machine that does other things.
const together = time.Minute

// A Cluster is server processes with routes between them.
type Cluster struct {
	Members []*Process

	routes []*port.Port
}

// RunCluster starts one for the length of a test.
func RunCluster(t testing.TB, size int) *Cluster {
	t.Helper()
	c, err := StartCluster(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// StartCluster starts one, and returns when JetStream has a leader.
func StartCluster(size int) (*Cluster, error) {
	c := &Cluster{}
	var routes []string
	for range size {
		route, err := port.Take()
		if err != nil {
			return nil, errors.Join(err, c.Remove())
		}
		c.routes = append(c.routes, route)
		routes = append(routes, fmt.Sprint(route.Number))
	}
	for i, route := range c.routes {
		p, err := startProcess(current, Member{Name: fmt.Sprintf("n%d", i+1), Port: route.Number, Routes: strings.Join(routes, ",")})
		if err != nil {
			return nil, errors.Join(err, c.Remove())
		}
		c.Members = append(c.Members, p)
	}
	if err := c.agreed(); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// URL lists all members.
func (c *Cluster) URL() string {
	var urls []string
	for _, p := range c.Members {
		urls = append(urls, p.URL())
	}
	return strings.Join(urls, ",")
}

// Remove ends all members and removes their stores.
func (c *Cluster) Remove() error {
	var failed []error
	for _, p := range c.Members {
		failed = append(failed, p.Remove())
	}
	for _, route := range c.routes {
		route.Free()
	}
	return errors.Join(failed...)
}

// ask lets f ask one member after the other, with a connection to that one alone, until one answers.
func (c *Cluster) ask(f func(context.Context, jetstream.JetStream) error) error {
	failed := errNoStream
	for _, p := range c.Members {
		conn, err := nats.Connect(p.URL(), nats.Timeout(time.Second), nats.NoReconnect())
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		js, err := jetstream.New(conn)
		if err == nil {
			err = f(ctx, js)
		}
		cancel()
		conn.Close()
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func (c *Cluster) agreed() error {
	return until(func() error {
		return c.ask(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.AccountInfo(ctx)
			return err
		})
	})
}

func until(f func() error) error {
	for deadline := time.Now().Add(together); ; time.Sleep(50 * time.Millisecond) {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (c *Cluster) info(stream string) (info *jetstream.StreamInfo, err error) {
	err = c.ask(func(ctx context.Context, js jetstream.JetStream) error {
		held, err := js.Stream(ctx, stream)
		if err == nil {
			info = held.CachedInfo()
		}
		return err
	})
	return info, err
}

// Leader is the member that leads a stream, once there is one, and another than the one that did.
func (c *Cluster) Leader(stream string, before *Process) (leader *Process, err error) {
	err = until(func() error {
		info, err := c.info(stream)
		if err != nil {
			return err
		}
		for _, p := range c.Members {
			if info.Cluster != nil && p != before && info.Cluster.Leader == p.member.Name {
				leader = p
				return nil
			}
		}
		return errNoLeader
	})
	return leader, err
}

// StepDown has the leader of a stream leave that to another.
func (c *Cluster) StepDown(stream string) error {
	return until(func() error {
		return c.ask(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
			return err
		})
	})
}

// Whole waits until a stream has a leader and every other member holds what it does.
func (c *Cluster) Whole(stream string) error {
	return until(func() error {
		info, err := c.info(stream)
		if err != nil {
			return err
		}
		if info.Cluster == nil || len(info.Cluster.Replicas) != len(c.Members)-1 {
			return errNotWhole
		}
		for _, replica := range info.Cluster.Replicas {
			if !replica.Current || replica.Offline {
				return errNotWhole
			}
		}
		return nil
	})
}
