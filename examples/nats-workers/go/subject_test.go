package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFilterMatchesWhatHasASubjectInCommonWithIt(t *testing.T) {
	for _, c := range []struct {
		filter string
		stream []string
		want   bool
	}{
		{"webhooks.>", []string{"webhooks.>"}, true},
		{"webhooks.>", []string{"other.>", "webhooks.a"}, true},
		{"webhooks.*.b", []string{"*.a.*"}, true},
		{">", []string{"a"}, true},
		{"a.b", []string{">"}, true},
		{"a", nil, true}, // a mirror lists none
		{"nothere.>", []string{"webhooks.>"}, false},
		{"webhooks.>", []string{"webhooks"}, false},
		{"webhooks", []string{"webhooks.>"}, false},
		{"webhooks.*", []string{"webhooks.a.b", "webhooks"}, false},
	} {
		require.Equal(t, c.want, matchesAny(c.filter, c.stream), "%s in %v", c.filter, c.stream)
	}
}
