package flow

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/postgres"
	"rule_engine/test/scratch"
	"rule_engine/test/worker"
)

// What a server asks for the time gives, made other by CLOCK_OFF seconds.
const offClock = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long off(void) { const char *s = getenv("CLOCK_OFF"); return s ? atol(s) : 0; }

int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(id, ts);
	if (r == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += off();
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;
	(void) tz;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
`

// clockOff lets a server's clock go wrong by so much.
func clockOff(t *testing.T, by time.Duration) postgres.Option {
	t.Helper()
	dir := scratch.For(t, "clock")
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	require.NoError(t, os.WriteFile(source, []byte(offClock), 0o644))
	said, err := exec.Command("cc", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput()
	require.NoError(t, err, "%s", said)
	return postgres.Env("LD_PRELOAD="+library, fmt.Sprintf("CLOCK_OFF=%d", int(by.Seconds())))
}

// It is the database's clock that is moved, since the workers', NATS' and the endpoint's are the machine's.
func TestAWorkersClockMayDifferFromTheDatabases(t *testing.T) {
	for name, off := range map[string]time.Duration{"ten minutes behind": 10 * time.Minute, "ten minutes ahead": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, clockOff(t, off))
			var now time.Time
			require.NoError(t, b.admin.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now))
			require.WithinDuration(t, time.Now().Add(off), now, time.Minute)
			inStream, inQueue, inBoth := b.webhook(t, "orders", "nats"), b.webhook(t, "bills", "queue"), b.webhook(t, "both", "both")
			asked := map[string]bool{}
			b.Endpoint.Respond(func(r endpoint.Request) endpoint.Answer {
				if (r.ID() == "later" || r.ID() == "queued") && !asked[r.ID()] {
					asked[r.ID()] = true
					after := time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
					return endpoint.Answer{Status: 429, Header: http.Header{"Retry-After": {after}}}
				}
				return endpoint.Answer{}
			})
			workers := []*worker.Process{b.worker(t, "CONSUMER_NAME=one"), b.worker(t, "CONSUMER_NAME=two")}
			tx := begin(t, b.application)
			published(t, tx, inStream, "rolled-back")
			require.NoError(t, tx.Rollback(t.Context()))
			published(t, b.application, inStream, "later")
			publish(t, b.application, inQueue, "queued")
			publish(t, b.application, inBoth, "both")
			open := begin(t, b.admin)
			published(t, open, inStream, "open")

			want := []string{"later", "later", "queued", "queued", "both"}
			b.arrived(t, want...)
			require.NoError(t, open.Commit(t.Context()))
			b.arrived(t, append(want, "open")...)
			b.settled(t)
			b.arrived(t, append(want, "open")...)
			b.count(t, 1, drops, "rolled-back")
			for _, event := range []string{"later", "queued"} {
				require.Greater(t, b.gaps(event)[0], 1900*time.Millisecond)
				require.Less(t, b.gaps(event)[0], patience)
			}
			b.count(t, 6, "SELECT count(*) FROM rule_webhook_attempts WHERE started_at BETWEEN clock_timestamp() - interval '5 minutes' AND clock_timestamp()")

			// Receivers would refuse what the workers stamp, if it were theirs that is wrong.
			for _, w := range workers {
				require.Eventually(t, func() bool { return strings.Contains(w.Log(), "the clock here is not postgres'") }, patience, 10*time.Millisecond)
				said := regexp.MustCompile(`level=WARN .* seconds_ahead_of_postgres=(-?\d+)`).FindStringSubmatch(w.Log())
				require.Len(t, said, 2, w.Log())
				ahead, err := strconv.Atoi(said[1])
				require.NoError(t, err)
				// It is told by a call, which may take its time one way.
				require.InDelta(t, -off.Seconds(), ahead, 15)
			}
		})
	}
}
