/*
 * Whether there is room for Go. A Go runtime that cannot have a thread or
 * memory ends its process, and Postgres then ends all sessions, so look first.
 * What is found can be gone a moment later: this makes a crash rare, not
 * impossible.
 */
#include "shim.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/*
 * What Go takes at its start and for its first connection, and some more:
 * addresses alone, memory that counts with vm.overcommit_memory = 2 (the
 * threads' stacks are a part of it), threads. test/backends prints all three.
 */
#define ROOM_ADDRESSES ((size_t) 2048 * 1024 * 1024)
#define ROOM_MEMORY ((size_t) 160 * 1024 * 1024)
#define ROOM_THREADS 8
#define PROBE_STACK ((size_t) 64 * 1024)

/* Addresses without rights are not promised memory. */
static bool
room_for(size_t size, int protection)
{
	void	   *taken = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return taken != MAP_FAILED && munmap(taken, size) == 0;
}

static void *
wait_at(void *gate)
{
	pthread_mutex_lock(gate);
	pthread_mutex_unlock(gate);
	return NULL;
}

/* All at once, with every signal blocked: none of Postgres' may reach them. */
static bool
room_for_threads(void)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	pthread_t	threads[ROOM_THREADS];
	pthread_attr_t attributes;
	sigset_t	all;
	sigset_t	opened;
	int			n = 0;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PROBE_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &opened);
	pthread_mutex_lock(&gate);
	while (n < ROOM_THREADS && pthread_create(&threads[n], &attributes, wait_at, &gate) == 0)
		n++;
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_sigmask(SIG_SETMASK, &opened, NULL);
	pthread_attr_destroy(&attributes);
	return n == ROOM_THREADS;
}

/* Raises an error when there is none. */
void
check_room(void)
{
	const char *what = NULL;

	if (!room_for(ROOM_ADDRESSES, PROT_NONE))
		what = "address space";
	else if (!room_for(ROOM_MEMORY, PROT_READ | PROT_WRITE))
		what = "memory";
	else if (!room_for_threads())
		what = "threads";
	if (what != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("not enough %s to publish from this session", what),
				 errhint("Each session that publishes takes %d threads and %d MB of what the kernel may promise: see \"Many sessions\" in docs/operations.md.",
						 ROOM_THREADS, (int) (ROOM_MEMORY / (1024 * 1024)))));
}
