/*
 * Shared memory in which the backends of a server tell each other that NATS is
 * away. There is none unless the library is preloaded; what stands in it is
 * Go's (bridge.h, RE_OUTAGES).
 */
#include "shim.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define OUTAGES_SIZE (RE_OUTAGES * sizeof(uint64))

uint64	   *shared_outages = NULL;

static shmem_request_hook_type next_request = NULL;
static shmem_startup_hook_type next_startup = NULL;

static void
request_outages(void)
{
	if (next_request != NULL)
		next_request();
	RequestAddinShmemSpace(OUTAGES_SIZE);
}

/* Also after a crash, when all is forgotten. */
static void
find_outages(void)
{
	bool		found;

	if (next_startup != NULL)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared_outages = ShmemInitStruct("rule_engine outages", OUTAGES_SIZE, &found);
	if (!found)
		memset(shared_outages, 0, OUTAGES_SIZE);
	LWLockRelease(AddinShmemInitLock);
}

/* To be called when the library is loaded. */
void
outages_prepare(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	next_request = shmem_request_hook;
	shmem_request_hook = request_outages;
	next_startup = shmem_startup_hook;
	shmem_startup_hook = find_outages;
}
