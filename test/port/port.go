// Package port keeps TCP ports of loopback for servers that are stopped and started again.
//
// While such a server stands still nobody listens on its port, and one that the kernel chose would soon be some other
// listener's, of all that tests start at the same time. These lie below those that the kernel chooses from, and a name
// that ends with this process says to other tests that one is taken.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

const (
	// lowest and highest lie below 32768, where Linux begins to choose.
	lowest  = 10_000
	highest = 32_000
)

var errNoneLeft = errors.New("no TCP port is left for a server of a test")

// A Port is nobody else's from Take to Free.
type Port struct {
	Number int
	name   net.Listener
}

// Take takes one that nobody listens on.
func Take() (*Port, error) {
	for range 1000 {
		number := lowest + rand.IntN(highest-lowest)
		name, err := net.Listen("unix", fmt.Sprintf("@rule_engine-test-port-%d", number))
		if err != nil {
			continue
		}
		if listen, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number)); err == nil {
			return &Port{Number: number, name: name}, listen.Close()
		}
		_ = name.Close()
	}
	return nil, errNoneLeft
}

// Free gives it back; a second time does nothing.
func (p *Port) Free() { _ = p.name.Close() }

// Run takes one for the length of a test: nobody listens there until the test lets somebody.
func Run(t testing.TB) *Port {
	t.Helper()
	p, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	return p
}

// Addr is its host and port.
func (p *Port) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.Number) }
