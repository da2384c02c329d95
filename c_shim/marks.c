/*
 * Where this session's claims begin to read the queue.
 *
 * It is a session's own, since a table would get a new version of its row with
 * each claim, all of which would be kept while somebody holds a snapshot: that
 * is when it is needed. Who has lost it reads from the start again.
 */
#include "shim.h"

#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(rule_claim_marks);
PG_FUNCTION_INFO_V1(rule_claim_marks_set);

static Jsonb *marks;

static Jsonb *
copied(const Jsonb *value, MemoryContext context)
{
	return memcpy(MemoryContextAlloc(context, VARSIZE(value)), value, VARSIZE(value));
}

Datum
rule_claim_marks(PG_FUNCTION_ARGS)
{
	if (marks == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(copied(marks, CurrentMemoryContext));
}

Datum
rule_claim_marks_set(PG_FUNCTION_ARGS)
{
	Jsonb	   *kept = copied(PG_GETARG_JSONB_P(0), TopMemoryContext);

	if (marks != NULL)
		pfree(marks);
	marks = kept;
	PG_RETURN_VOID();
}
