/*
 * Waiting for Go without keeping Postgres waiting.
 *
 * The wait set holds the backend's latch beside Go's eventfd, so that a cancel,
 * a time-out, a termination or a barrier is served at once; the client's socket,
 * so that one that went away ends the wait; and the postmaster's death.
 */
#include "shim.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* Its headers need not be installed, and struct Port looks the same without. */
#undef ENABLE_GSS

#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* So that the shim looks after an operation even if a wake-up were lost. */
#define LOOK_AGAIN_MS 1000

re_signal	go_signal = {0, 0, -1};

static WaitEventSet *wait_set = NULL;

static uint32
wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("RuleEnginePublish");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * Makes the eventfd and the wait set, once in a session.
 */
void
wait_prepare(void)
{
	if (go_signal.eventfd < 0)
	{
		if (!AcquireExternalFD())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not get a file descriptor to wait for NATS"),
					 errhint("Raise max_files_per_process.")));
		go_signal.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (go_signal.eventfd < 0)
		{
			ReleaseExternalFD();
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not make an eventfd: %m"),
					 errhint("Raise the limit on open files (LimitNOFILE) of the server.")));
		}
	}
	if (wait_set == NULL)
	{
#if PG_VERSION_NUM >= 170000
		WaitEventSet *set = CreateWaitEventSet(NULL, 4);
#else
		WaitEventSet *set = CreateWaitEventSet(TopMemoryContext, 4);
#endif

		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, go_signal.eventfd, NULL, NULL);
		if (MyProcPort != NULL && WaitEventSetCanReportClosed())
			AddWaitEventToSet(set, WL_SOCKET_CLOSED, MyProcPort->sock, NULL, NULL);
		wait_set = set;
	}
}

/*
 * To be taken before Go is asked: wait_for_go returns once Go has signalled
 * since then.
 */
uint32
wait_mark(void)
{
	return __atomic_load_n(&go_signal.woken, __ATOMIC_SEQ_CST);
}

static void
sleep_once(void)
{
	WaitEvent	events[4];
	int			nevents = WaitEventSetWait(wait_set, LOOK_AGAIN_MS, events,
										   lengthof(events), wait_event());

	for (int i = 0; i < nevents; i++)
	{
		uint64		count;

		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (events[i].events & WL_SOCKET_CLOSED)
		{
			/* What ProcessInterrupts does when client_connection_check_interval finds out. */
			ClientConnectionLost = true;
			InterruptPending = true;
		}
		else if (events[i].events & WL_SOCKET_READABLE)
			(void) !read(go_signal.eventfd, &count, sizeof(count));
	}
}

/*
 * Waits until Go has signalled since the mark was taken, at most a second. A
 * wake-up may be an older operation's: the caller asks Go and waits again.
 * Raises what an interrupt raises.
 */
void
wait_for_go(uint32 mark)
{
	CHECK_FOR_INTERRUPTS();
	__atomic_store_n(&go_signal.waiting, 1, __ATOMIC_SEQ_CST);
	if (wait_mark() == mark)
		sleep_once();
	__atomic_store_n(&go_signal.waiting, 0, __ATOMIC_SEQ_CST);
	CHECK_FOR_INTERRUPTS();
}
