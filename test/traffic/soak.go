package traffic

import (
	"os"
	"testing"
	"time"
)

// SoakEnv says how long each of the long tests does its harm; make soak sets it.
const SoakEnv = "SOAK"

// Soak is that time, zero in an ordinary run.
func Soak(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv(SoakEnv)
	if text == "" {
		return 0
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", SoakEnv, err)
	}
	return length
}
