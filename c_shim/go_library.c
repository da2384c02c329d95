/*
 * Opening the Go library inside a backend, and calling into it.
 *
 * A Go runtime takes over signals, starts threads and reads the process'
 * arguments and environment. None of that may reach Postgres, which blocks
 * SIGURG and reads it from a signalfd (storage/ipc/latch.c), handles its other
 * signals on its only thread, and overwrites argv and environ for the ps title
 * (utils/misc/ps_status.c). So the library is opened late, in the backend that
 * needs it and never in the postmaster, with every signal blocked, and the
 * signal actions that Go replaced are put back.
 */
#include "shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define GO_LIBRARY_FILE "rule_engine_go-" RULE_ENGINE_VERSION ".so"

/* Descriptors of the Go runtime and of a NATS connection. */
#define GO_DESCRIPTORS 4

extern char **environ;

static GoLibrary library;
static pid_t started_in = 0;

/* Set while a start is under way: one that failed cannot be tried again. */
static bool start_failed = false;

/*
 * The argument vector as the kernel laid it out. The loader hands it to
 * constructors; by the time that the shim is loaded Postgres has moved its own
 * copies elsewhere.
 */
static int	kernel_argc;
static char **kernel_argv;

__attribute__((constructor))
static void
remember_arguments(int argc, char **argv)
{
	kernel_argc = argc;
	kernel_argv = argv;
}

/*
 * Shows Go a clean argument vector and environment. Go reads the slots from
 * argv on, which by now hold the ps title: a role or database name in it could
 * set GODEBUG. No slot may become NULL, since Go finds the auxiliary vector
 * behind the first one. Returns the pointers to put back.
 */
static char **
show_clean_arguments(int *nslots)
{
	static char preempt_off[] = "GODEBUG=asyncpreemptoff=1";
	static char name[] = "postgres";
	static char nothing[] = "";
	char	  **environment = environ;
	char	  **saved;
	int			end = kernel_argc + 1;

	while (kernel_argv[end] != NULL)
		end++;
	*nslots = end;
	saved = MemoryContextAlloc(TopMemoryContext, end * sizeof(char *));
	memcpy(saved, kernel_argv, end * sizeof(char *));

	for (int i = 0; i < kernel_argc; i++)
		kernel_argv[i] = name;
	for (int i = kernel_argc + 1; i < end; i++)
	{
		if (i == kernel_argc + 1)
		{
			kernel_argv[i] = preempt_off;
			continue;
		}
		while (*environment != NULL && strncmp(*environment, "GO", 2) == 0)
			environment++;
		kernel_argv[i] = *environment != NULL ? *environment++ : nothing;
	}
	return saved;
}

/* The mask that Postgres runs with, to go back to. */
static sigset_t postgres_mask;

/*
 * Blocks every signal but those that a fault in Go code raises on this thread:
 * with these blocked as well, a nil dereference would kill the backend instead
 * of becoming an ERROR.
 */
void
go_enter(void)
{
	static sigset_t blocked;
	static bool ready = false;

	if (!ready)
	{
		sigfillset(&blocked);
		sigdelset(&blocked, SIGSEGV);
		sigdelset(&blocked, SIGBUS);
		sigdelset(&blocked, SIGFPE);
		sigdelset(&blocked, SIGILL);
		sigdelset(&blocked, SIGTRAP);
		sigdelset(&blocked, SIGABRT);
		sigdelset(&blocked, SIGSYS);
		ready = true;
	}
	pthread_sigmask(SIG_SETMASK, &blocked, &postgres_mask);
}

/* Also while a host function is inside Postgres. */
void
go_leave(void)
{
	pthread_sigmask(SIG_SETMASK, &postgres_mask, NULL);
}

/* The threads of this process, at most so many: a backend has one. */
#define MAX_THREADS 256

static int
list_threads(int *threads)
{
	DIR		   *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int			n = 0;

	if (tasks == NULL)
		return 0;
	while (n < MAX_THREADS && (task = readdir(tasks)) != NULL)
		if (task->d_name[0] != '.')
			threads[n++] = atoi(task->d_name);
	closedir(tasks);
	return n;
}

/*
 * A thread of Go that leaves one of Postgres' signals open would now and then
 * take it: a lost latch wake-up or a handler on the wrong thread. Raises an
 * error when there is one among those that the start has added; what another
 * library did before is not ours to judge.
 */
static void
check_thread_masks(const int *before, int nbefore)
{
	static const int postgres_signals[] = {SIGURG, SIGINT, SIGTERM, SIGUSR1, SIGALRM};
	int			threads[MAX_THREADS];
	int			nthreads = list_threads(threads);

	for (int t = 0; t < nthreads; t++)
	{
		char		path[64];
		char		line[256];
		FILE	   *status;
		unsigned long long mask = ~0ULL;
		bool		ours = true;

		for (int i = 0; i < nbefore; i++)
			if (before[i] == threads[t])
				ours = false;
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", threads[t]);
		if (!ours || (status = fopen(path, "r")) == NULL)
			continue;
		while (fgets(line, sizeof(line), status) != NULL)
			if (sscanf(line, "SigBlk: %llx", &mask) == 1)
				break;
		fclose(status);
		for (size_t i = 0; i < lengthof(postgres_signals); i++)
			if ((mask & (1ULL << (postgres_signals[i] - 1))) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_SYSTEM_ERROR),
						 errmsg("a thread of the Go runtime leaves signal %d open",
								postgres_signals[i]),
						 errhint("This build of rule_engine is not safe here; build it with its own Makefile.")));
	}
}

static void *
library_symbol(void *handle, const char *name, const char *path)
{
	void	   *symbol = dlsym(handle, name);

	if (symbol == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("\"%s\" has no function %s", path, name),
				 errhint("Install rule_engine " RULE_ENGINE_VERSION " again with \"make install\".")));
	return symbol;
}

static void
start_library(void)
{
	Dl_info		self;
	char		path[MAXPGPATH];
	char	   *slash;
	void	   *handle;
	const char *failure = NULL;
	re_go_start_fn start = NULL;
	re_backend	backend;
	char	   *database;
	struct sigaction actions[NSIG];
	bool		known[NSIG];
	sigset_t	all;
	sigset_t	opened;
	struct rlimit descriptors;
	int			threads[MAX_THREADS];
	int			nthreads = list_threads(threads);
	char	  **arguments;
	int			nslots;
	int32		abi = 0;

	if (dladdr((void *) start_library, &self) == 0)
		elog(ERROR, "could not find the path of the rule_engine library");
	strlcpy(path, self.dli_fname, sizeof(path));
	slash = strrchr(path, '/');
	strlcpy(slash ? slash + 1 : path, GO_LIBRARY_FILE,
			sizeof(path) - (slash ? slash + 1 - path : 0));

	check_room();
	wait_prepare();
	for (int i = 0; i < GO_DESCRIPTORS; i++)
		ReserveExternalFD();
	database = get_database_name(MyDatabaseId);
	backend.database.data = database;
	backend.database.len = strlen(database);
	backend.database_oid = MyDatabaseId;
	backend.pid = MyProcPid;
	backend.outages = shared_outages;

	start_failed = true;
	sigfillset(&all);
	arguments = show_clean_arguments(&nslots);
	pthread_sigmask(SIG_SETMASK, &all, &opened);
	for (int sig = 1; sig < NSIG; sig++)
		known[sig] = sigaction(sig, NULL, &actions[sig]) == 0;
	/* Go raises the soft limit for itself; what Postgres starts would inherit it. */
	getrlimit(RLIMIT_NOFILE, &descriptors);

	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		failure = dlerror();
	else
	{
		start = (re_go_start_fn) dlsym(handle, "re_go_start");
		/* Returns only when the runtime has read its arguments. */
		if (start != NULL)
			abi = start(&host_table, &go_signal, &backend);
	}

	for (int sig = 1; sig < NSIG; sig++)
		if (known[sig] && sig != SIGSEGV && sig != SIGBUS)
			sigaction(sig, &actions[sig], NULL);
	setrlimit(RLIMIT_NOFILE, &descriptors);
	memcpy(kernel_argv, arguments, nslots * sizeof(char *));
	pthread_sigmask(SIG_SETMASK, &opened, NULL);
	pfree(arguments);

	if (handle == NULL)
	{
		/* Nothing of Go runs yet: once the file is there, the next call succeeds. */
		start_failed = false;
		for (int i = 0; i < GO_DESCRIPTORS; i++)
			ReleaseExternalFD();
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("could not open \"%s\": %s", path, failure),
				 errhint("Install rule_engine " RULE_ENGINE_VERSION " again with \"make install\".")));
	}
	if (abi != RE_ABI)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" speaks version %d of the bridge, not %d", path, abi, RE_ABI),
				 errhint("Install rule_engine " RULE_ENGINE_VERSION " again with \"make install\", then reconnect.")));

	library.send = (re_go_send_fn) library_symbol(handle, "re_go_send", path);
	library.health = (re_go_health_fn) library_symbol(handle, "re_go_health", path);
	library.streams = (re_go_streams_fn) library_symbol(handle, "re_go_streams", path);
	library.step = (re_go_step_fn) library_symbol(handle, "re_go_step", path);
	library.forget = (re_go_forget_fn) library_symbol(handle, "re_go_forget", path);
	check_thread_masks(threads, nthreads);

	started_in = getpid();
	start_failed = false;
}

/*
 * The library, started on first use. A process that was forked from one in
 * which Go runs has its memory but none of its threads: every call would hang.
 * The kernel knows which process this is; a fork that Postgres did not make
 * leaves MyProcPid as it was.
 */
const GoLibrary *
go_library(void)
{
	if (started_in == getpid())
		return &library;
	if (start_failed || started_in != 0 || !IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rule_engine cannot run Go in this process"),
				 errhint("Call it from an ordinary session; if this is one, reconnect.")));
	start_library();
	return &library;
}
