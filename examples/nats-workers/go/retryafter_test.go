package main

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type goldenRetryAfter struct {
	Now     time.Time
	Answers []struct {
		RetryAfter string `json:"retry_after"`
		Date       string
		Seconds    int
	}
}

func TestRetryAfterIsReadAsTheGoldenFileSays(t *testing.T) {
	text, err := os.ReadFile("../../../test/golden/retry_after.json")
	require.NoError(t, err)
	var golden goldenRetryAfter
	require.NoError(t, json.Unmarshal(text, &golden))
	require.NotEmpty(t, golden.Answers)
	for _, c := range golden.Answers {
		header := http.Header{"Retry-After": {c.RetryAfter}}
		if c.Date != "" {
			header.Set("Date", c.Date)
		}
		want := time.Duration(c.Seconds) * time.Second
		require.Equal(t, want, retryAfter(header, golden.Now), "%s at %s", c.RetryAfter, c.Date)
	}
}
