package conformance

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/resolver"
)

var inner = netip.MustParseAddr("127.1.0.1")

var world atomic.Int32

// aName is a host name of one test, and a server of the world at its own address and the port of the
// inside: who dials the wrong address is heard there.
func aName(t *testing.T, answer func(asked int, outer netip.Addr) resolver.Answer) (name string, s *server) {
	t.Helper()
	if shared.nameless != nil {
		t.Skip("no name server of the tests' own: ", shared.nameless)
	}
	n := world.Add(1)
	outer := netip.AddrFrom4([4]byte{127, 0, 9, byte(n)})
	s = serveOn(t, outer.String()+":"+shared.inside.port(),
		says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	name = fmt.Sprintf("host-%d.test", n)
	shared.names.Set(name, func(asked int) resolver.Answer { return answer(asked, outer) })
	return name, s
}

func to(name string) string { return "http://" + name + ":" + shared.inside.port() + "/hook" }

func addresses(all ...netip.Addr) resolver.Answer { return resolver.Answer{Addresses: all} }

// The worker's environment names a proxy, which is inside.
func TestANameIsDialledWithoutAProxy(t *testing.T) {
	for form, spell := range map[string]func(string) string{
		"as usual":     func(s string) string { return s },
		"a dot behind": func(s string) string { return s + "." },
		"in capitals":  strings.ToUpper,
		"in short":     func(s string) string { return strings.TrimSuffix(s, ".test") },
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			name, s := aName(t, func(_ int, outer netip.Addr) resolver.Answer { return addresses(outer) })
			got := aHook(t, to(spell(name))).once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			require.Equal(t, "/hook", s.got()[0].RequestURI)
			require.Zero(t, shared.inside.reached.Load())
		})
	}
}

func TestOfANamesAddressesOnlyThoseOutsideAreDialled(t *testing.T) {
	for order, sort := range map[string]func(outer netip.Addr) []netip.Addr{
		"inside first":  func(outer netip.Addr) []netip.Addr { return []netip.Addr{inner, outer} },
		"outside first": func(outer netip.Addr) []netip.Addr { return []netip.Addr{outer, inner} },
		"many inside": func(outer netip.Addr) []netip.Addr {
			return []netip.Addr{inner, inner.Next(), outer, inner.Next().Next()}
		},
	} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			name, s := aName(t, func(_ int, outer netip.Addr) resolver.Answer { return addresses(sort(outer)...) })
			got := aHook(t, to(name)).once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			require.Len(t, s.got(), 1)
			require.Zero(t, shared.inside.reached.Load())
		})
	}
}

func TestWhereANamesAddressesOutsideAreAwayThoseInsideAreNotDialled(t *testing.T) {
	t.Parallel()
	away := netip.MustParseAddr("127.0.8.1")
	name, _ := aName(t, func(int, netip.Addr) resolver.Answer { return addresses(away, inner) })
	refused(t, aHook(t, to(name)).once())
	require.Zero(t, shared.inside.reached.Load())
}

func TestANameThatLeadsInsideIsRefused(t *testing.T) {
	t.Parallel()
	name, s := aName(t, func(int, netip.Addr) resolver.Answer { return addresses(inner) })
	got := aHook(t, to(name)).once()
	refused(t, got)
	require.Contains(t, got.error(), "is refused (loopback)")
	require.Zero(t, s.connections.Load())
	require.Zero(t, shared.inside.reached.Load())
}

// The address that was checked is the one that is dialled.
func TestANameThatChangesBetweenLookUpsLeadsNowhereInside(t *testing.T) {
	t.Parallel()
	name, s := aName(t, func(asked int, outer netip.Addr) resolver.Answer {
		if asked%2 == 0 {
			return addresses(outer)
		}
		return addresses(inner)
	})
	h := aHook(t, to(name), "max_retries = 0", aLongTimeout)
	delivered := 0
	for n := range 6 {
		before := shared.names.Asked(name)
		h.publish(fmt.Sprint("event-", n), aBody)
		got := h.tries(n + 1)[n]
		// A question whose answer was late is put again, and either answer may be taken then.
		late := shared.names.Asked(name) > before+1
		if got.Outcome == "delivered" {
			require.True(t, late || before%2 == 0)
			delivered++
		} else {
			require.True(t, late || before%2 == 1, got.error())
			refused(t, got)
		}
	}
	require.Len(t, s.got(), delivered)
	require.Zero(t, shared.inside.reached.Load())
}

func TestANameThatCannotBeLookedUpIsAFailure(t *testing.T) {
	for name, code := range map[string]byte{"no such name": resolver.NoSuchName, "a failure of its server": resolver.ServerFailure, "no address": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name, s := aName(t, func(int, netip.Addr) resolver.Answer { return resolver.Answer{Code: code} })
			got := aHook(t, to(name)).once()
			refused(t, got)
			require.NotContains(t, got.error(), "hook")
			require.Zero(t, s.connections.Load())
		})
	}
}

func TestTheDeadlineSpansALookUp(t *testing.T) {
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		name, _ := aName(t, func(_ int, outer netip.Addr) resolver.Answer {
			time.Sleep(300 * time.Millisecond)
			return addresses(outer)
		})
		got := aHook(t, to(name)).once()
		require.Equal(t, "delivered", got.Outcome, got.error())
		require.GreaterOrEqual(t, got.Duration, 290.0)
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		name, s := aName(t, func(int, netip.Addr) resolver.Answer { return resolver.Answer{Silent: true} })
		got := aHook(t, to(name), aShortTimeout).once()
		require.Equal(t, tooLate, got.error())
		require.Less(t, got.Duration, soon)
		require.Zero(t, s.connections.Load())
	})
}

func TestNamesThatAreNotAnsweredHoldUpNoOther(t *testing.T) {
	t.Parallel()
	const dead, events = 12, 6
	var asked sync.Map
	for n := range dead {
		name, _ := aName(t, func(int, netip.Addr) resolver.Answer {
			asked.Store(n, nil)
			return resolver.Answer{Silent: true}
		})
		h := aHook(t, to(name), "timeout_ms = 15000")
		for e := range events {
			h.publish(fmt.Sprint("event-", e), aBody)
		}
	}
	everAsked := func() (n int) {
		asked.Range(func(any, any) bool { n++; return true })
		return n
	}
	require.Eventually(t, func() bool { return everAsked() > 0 }, patience, 10*time.Millisecond)
	for range 5 {
		name, _ := aName(t, func(_ int, outer netip.Addr) resolver.Answer { return addresses(outer) })
		got := aHook(t, to(name), "timeout_ms = 9000").once()
		require.Equal(t, "delivered", got.Outcome, got.error())
	}
	require.Eventually(t, func() bool { return everAsked() == dead }, patience, 10*time.Millisecond)
}

func TestEventsThatWaitForOneNameAskForItOnce(t *testing.T) {
	t.Parallel()
	const events = 8
	all := make(chan struct{})
	name, _ := aName(t, func(_ int, outer netip.Addr) resolver.Answer {
		<-all
		return addresses(outer)
	})
	h := aHook(t, to(name), aLongTimeout)
	for e := range events {
		h.publish(fmt.Sprint("event-", e), aBody)
	}
	require.Eventually(t, func() bool {
		var taken int
		ask(t, &taken, "SELECT count(*) FROM rule_webhook_queue WHERE webhook_id = $1 AND status = 'processing'", h.id)
		return taken == events
	}, patience, 10*time.Millisecond)
	time.Sleep(200 * time.Millisecond) // taken and not yet asked for
	close(all)
	for _, got := range h.tries(events) {
		require.Equal(t, "delivered", got.Outcome, got.error())
	}
	// One that is not answered is put again, seconds later.
	require.Less(t, shared.names.Asked(name), events/2)
}
