package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

type goldenAddresses struct {
	Refused []struct{ Address, Kind string }
	Dialled []string
	Allowed struct{ Networks, Dialled, Refused []string }
}

func readAddresses(t *testing.T) (g goldenAddresses) {
	t.Helper()
	text, err := os.ReadFile("../../../test/golden/addresses.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &g))
	require.NotEmpty(t, g.Refused)
	require.NotEmpty(t, g.Dialled)
	return g
}

func TestAddressesInsideTheNetworkAreRefused(t *testing.T) {
	for _, c := range readAddresses(t).Refused {
		err := guard{}.check(netip.MustParseAddr(c.Address))
		require.ErrorContains(t, err, "("+c.Kind+")", c.Address)
	}
}

func TestAddressesOutsideAreDialled(t *testing.T) {
	for _, address := range readAddresses(t).Dialled {
		require.NoError(t, guard{}.check(netip.MustParseAddr(address)), address)
	}
}

func TestAllowedNetworksOpenWhatTheyHoldAndNoMore(t *testing.T) {
	allowed := readAddresses(t).Allowed
	var g guard
	for _, network := range allowed.Networks {
		g.allow = append(g.allow, netip.MustParsePrefix(network))
	}
	for _, address := range allowed.Dialled {
		require.NoError(t, g.check(netip.MustParseAddr(address)), address)
	}
	for _, address := range allowed.Refused {
		require.Error(t, g.check(netip.MustParseAddr(address)), address)
	}
}

func TestPortZeroAndWhatIsNoAddressAreRefused(t *testing.T) {
	require.Error(t, guard{}.control("tcp", "8.8.8.8:0", nil))
	require.Error(t, guard{}.control("tcp", "example.com:80", nil))
	require.NoError(t, guard{}.control("tcp", "8.8.8.8:80", nil))
}
