/*
 * publish_in_child(webhook_id): forks, publishes in the child, and answers what
 * became of it there.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(publish_in_child);

#define PATIENCE_MS 3000

static void
publish_and_report(Oid publish, Datum webhook, Datum payload, int report)
{
	const char *said = "published";
	FmgrInfo	function;

	/* MyProcPid stays the parent's: a fork that Postgres did not make. */
	PG_TRY();
	{
		LOCAL_FCINFO(call, 3);

		fmgr_info(publish, &function);
		InitFunctionCallInfoData(*call, &function, 3, InvalidOid, NULL, NULL);
		call->args[0].value = webhook;
		call->args[0].isnull = false;
		call->args[1].value = payload;
		call->args[1].isnull = false;
		call->args[2].isnull = true;
		FunctionCallInvoke(call);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		said = psprintf("refused: %s", CopyErrorData()->message);
	}
	PG_END_TRY();
	(void) !write(report, said, strlen(said));
	_exit(0);
}

Datum
publish_in_child(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID, JSONBOID, TEXTOID};
	Oid			publish = LookupFuncName(list_make1(makeString("rule_webhook_publish_nats")),
										 3, types, false);
	Datum		payload = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	char		said[200] = "";
	int			report[2];
	pid_t		child;
	int			waited = 0;

	if (pipe(report) != 0 || (child = fork()) < 0)
		elog(ERROR, "could not fork: %m");
	if (child == 0)
		publish_and_report(publish, PG_GETARG_DATUM(0), payload, report[1]);
	close(report[1]);
	while (waitpid(child, NULL, WNOHANG) == 0)
	{
		if (waited++ > PATIENCE_MS)
		{
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
			close(report[0]);
			PG_RETURN_TEXT_P(cstring_to_text("hangs"));
		}
		pg_usleep(1000);
	}
	(void) !read(report[0], said, sizeof(said) - 1);
	close(report[0]);
	PG_RETURN_TEXT_P(cstring_to_text(said));
}
