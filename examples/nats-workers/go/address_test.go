package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesInsideTheNetworkAreRefused(t *testing.T) {
	for address, kind := range map[string]string{
		"0.0.0.0": "unspecified", "0.1.2.3": "unspecified",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"100.64.0.1": "carrier-grade NAT", "100.127.255.255": "carrier-grade NAT",
		"127.0.0.1": "loopback", "127.255.255.254": "loopback",
		"169.254.169.254": "link-local",
		"192.0.0.8":       "reserved",
		"192.0.2.1":       "documentation", "198.51.100.1": "documentation", "203.0.113.255": "documentation",
		"192.88.99.1": "6to4",
		"198.18.0.1":  "benchmark", "198.19.255.255": "benchmark",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast",
		"240.0.0.1": "reserved", "255.255.255.255": "reserved",

		"::": "unspecified", "::1": "loopback", "::127.0.0.1": "reserved",
		"::ffff:127.0.0.1": "loopback", "::ffff:10.0.0.1": "private", "::ffff:169.254.169.254": "link-local",
		"64:ff9b::7f00:1": "NAT64", "64:ff9b:1::1": "NAT64", "100::1": "discard",
		"2001::1": "Teredo", "2001:2::1": "benchmark", "2001:20::1": "reserved",
		"2001:db8::1": "documentation", "3fff::1": "documentation",
		"2002:7f00:1::": "6to4",
		"fc00::1":       "unique local", "fd00:ec2::254": "unique local",
		"fe80::1": "link-local", "fe80::1%eth0": "scoped", "2606:4700::1%1": "scoped",
		"fec0::1": "site-local", "ff02::1": "multicast", "5f00::1": "reserved", "4000::1": "reserved",
	} {
		err := guard{}.check(netip.MustParseAddr(address))
		require.ErrorContains(t, err, "("+kind+")", address)
	}
}

func TestAddressesOutsideAreDialled(t *testing.T) {
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"172.15.255.255", "172.32.0.0", "169.253.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8",
	} {
		require.NoError(t, guard{}.check(netip.MustParseAddr(address)), address)
	}
}

func TestAllowedNetworksOpenWhatTheyHoldAndNoMore(t *testing.T) {
	g := guard{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128")}}
	for _, address := range []string{"10.1.0.1", "::ffff:10.1.0.1", "::1"} {
		require.NoError(t, g.check(netip.MustParseAddr(address)), address)
	}
	for _, address := range []string{"10.2.0.1", "127.0.0.1", "::2"} {
		require.Error(t, g.check(netip.MustParseAddr(address)), address)
	}
}

func TestPortZeroAndWhatIsNoAddressAreRefused(t *testing.T) {
	require.Error(t, guard{}.control("tcp", "8.8.8.8:0", nil))
	require.Error(t, guard{}.control("tcp", "example.com:80", nil))
	require.NoError(t, guard{}.control("tcp", "8.8.8.8:80", nil))
}
