package main

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"syscall"
)

// guard refuses connections into the network that the worker runs in. It looks
// at the address that is being dialled, after all names are resolved and
// before a packet leaves, so neither a name's spelling nor a second answer of
// its name server gets around it.
type guard struct{ allow []netip.Prefix }

// control is for net.Dialer.Control, which runs once for every address tried.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s cannot be checked", address)
	}
	if to.Port() == 0 {
		return fmt.Errorf("port 0 is no port")
	}
	return g.check(to.Addr())
}

var (
	localhost = regexp.MustCompile(`(?i)^(.+\.)?localhost\.?$`)
	hostName  = regexp.MustCompile(`^[\w-]+(\.[\w-]+)*\.?$`)
	number    = regexp.MustCompile(`(?i)(^|\.)([0-9]+|0x[0-9a-f]*)\.?$`) // as the URL standard tells it from a name
)

// unresolved checks of an endpoint, host and port, what can be told where somebody else looks up its name.
func (g guard) unresolved(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || !isPort(port) {
		return fmt.Errorf("port %s is no port", port)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.check(a)
	}
	switch {
	case localhost.MatchString(host):
		return g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) // wherever it is looked up (RFC 6761)
	case !hostName.MatchString(host), number.MatchString(host):
		return fmt.Errorf("host %s is neither a name nor an address in its usual form", host)
	}
	return nil
}

func (g guard) check(a netip.Addr) error {
	plain := a.WithZone("").Unmap()
	for _, p := range g.allow {
		if p.Contains(plain) {
			return nil
		}
	}
	kind := ""
	switch {
	case a.Zone() != "":
		kind = "scoped"
	case plain.Is4():
		kind = find(inside4, plain)
	case !global6.Contains(plain):
		// All else of IPv6 is for special use or for nobody yet; name what is known.
		if kind = find(inside6, plain); kind == "" {
			kind = "reserved"
		}
	default:
		kind = find(inside6, plain)
	}
	if kind == "" {
		return nil
	}
	return fmt.Errorf("address %s is refused (%s); WEBHOOK_ALLOW_NETWORKS opens networks", a, kind)
}

// unmapped makes a network of mapped addresses one of IPv4, as which guard looks
// them up: as it stands it would open nothing, and one that goes beyond them half of what it says.
func unmapped(p netip.Prefix) (netip.Prefix, error) {
	switch bits := p.Bits() - (128 - 32); {
	case !p.Addr().Is4In6():
		return p, nil
	case bits < 0:
		return p, fmt.Errorf("network %s is more than the mapped addresses", p)
	default:
		return netip.PrefixFrom(p.Addr().Unmap(), bits), nil
	}
}

type network struct {
	prefix netip.Prefix
	kind   string
}

func find(table []network, a netip.Addr) string {
	for _, n := range table {
		if n.prefix.Contains(a) {
			return n.kind
		}
	}
	return ""
}

func n(prefix, kind string) network { return network{netip.MustParsePrefix(prefix), kind} }

// After the IANA registries of special-purpose addresses.
var inside4 = []network{
	n("0.0.0.0/8", "unspecified"),
	n("10.0.0.0/8", "private"),
	n("100.64.0.0/10", "carrier-grade NAT"),
	n("127.0.0.0/8", "loopback"),
	n("169.254.0.0/16", "link-local"), // clouds serve credentials here
	n("172.16.0.0/12", "private"),
	n("192.0.0.0/24", "reserved"),
	n("192.0.2.0/24", "documentation"),
	n("192.31.196.0/24", "reserved"),
	n("192.52.193.0/24", "reserved"),
	n("192.88.99.0/24", "6to4"),
	n("192.168.0.0/16", "private"),
	n("192.175.48.0/24", "reserved"),
	n("198.18.0.0/15", "benchmark"),
	n("198.51.100.0/24", "documentation"),
	n("203.0.113.0/24", "documentation"),
	n("224.0.0.0/4", "multicast"),
	n("240.0.0.0/4", "reserved"),
}

var global6 = netip.MustParsePrefix("2000::/3")

// NAT64, 6to4 and Teredo carry an IPv4 address that a gateway would dial
// unchecked. Mapped addresses never come here: they are looked up as IPv4.
var inside6 = []network{
	n("::/128", "unspecified"),
	n("::1/128", "loopback"),
	n("64:ff9b::/96", "NAT64"),
	n("64:ff9b:1::/48", "NAT64"),
	n("100::/64", "discard"),
	n("2001::/32", "Teredo"),
	n("2001:2::/48", "benchmark"),
	n("2001::/23", "reserved"),
	n("2001:db8::/32", "documentation"),
	n("2002::/16", "6to4"),
	n("2620:4f:8000::/48", "reserved"),
	n("3fff::/20", "documentation"),
	n("fc00::/7", "unique local"),
	n("fe80::/10", "link-local"),
	n("fec0::/10", "site-local"),
	n("ff00::/8", "multicast"),
}
