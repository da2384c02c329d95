/*
 * The settings of the library, rule_engine.*.
 */
#include "shim.h"

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(rule_publish_off);

#define SKIPPED "{\"success\": false, \"skipped\": true, \"reason\": \"rule_engine.publish is off\"}"

static bool publish = true;

void
settings_define(void)
{
	DefineCustomBoolVariable("rule_engine.publish",
							 "Whether events are sent, queued and recorded.",
							 "When off, the functions that publish do nothing and say so. For bulk repair and data-only restores.",
							 &publish,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("rule_engine");
}

bool
publish_is_off(void)
{
	return !publish;
}

/*
 * The answer then. No table is read, so a webhook's mode is not known: what goes
 * by it answers for both ways.
 */
Datum
skipped_answer(int32 route)
{
	const char *answer = route == RE_ROUTE_BY_MODE ?
		"{\"queue\": " SKIPPED ", \"nats\": " SKIPPED "}" : SKIPPED;

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(answer));
}

Datum
rule_publish_off(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(publish_is_off());
}
