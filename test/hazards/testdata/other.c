/*
 * other(n): calls another Go library, other_go.so beside this file, opened at
 * the first call.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <signal.h>

#include "fmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(other);

static int	(*sum) (int);

static void
open_library(void)
{
	Dl_info		self;
	char		path[MAXPGPATH];
	void	   *handle;
	struct sigaction actions[NSIG];
	sigset_t	all;
	sigset_t	opened;

	dladdr((void *) open_library, &self);
	strlcpy(path, self.dli_fname, sizeof(path));
	strlcpy(strrchr(path, '/'), "/other_go.so", 20);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, NULL, &actions[sig]);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &opened);
	handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (handle != NULL && (sum = (int (*) (int)) dlsym(handle, "OtherSum")) != NULL)
		sum(1);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGSEGV && sig != SIGBUS)
			sigaction(sig, &actions[sig], NULL);
	pthread_sigmask(SIG_SETMASK, &opened, NULL);
	if (sum == NULL)
		elog(ERROR, "could not open \"%s\": %s", path, dlerror());
}

Datum
other(PG_FUNCTION_ARGS)
{
	sigset_t	all;
	sigset_t	opened;
	int			answer;

	if (sum == NULL)
		open_library();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &opened);
	answer = sum(PG_GETARG_INT32(0));
	pthread_sigmask(SIG_SETMASK, &opened, NULL);
	PG_RETURN_INT32(answer);
}
