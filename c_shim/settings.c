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
static char *traceparent;

/* So many digits of lower-case hexadecimal, not all of them 0. */
static bool
is_trace_id(const char *digits, size_t n)
{
	return strspn(digits, "0123456789abcdef") == n && strspn(digits, "0") < n;
}

/* As W3C Trace Context writes it, in version 00; empty is none. */
static bool
check_traceparent(char **value, void **extra, GucSource source)
{
	const char *text = *value;

	(void) extra;
	(void) source;

	if (text[0] == '\0' ||
		(strlen(text) == 55 && strncmp(text, "00-", 3) == 0 &&
		 text[35] == '-' && text[52] == '-' &&
		 is_trace_id(text + 3, 32) && is_trace_id(text + 36, 16) &&
		 strspn(text + 53, "0123456789abcdef") == 2))
		return true;
	GUC_check_errhint("A traceparent is 00-, a trace id of 32 digits, -, a parent id of 16 digits, - and 2 digits of flags, in lower-case hexadecimal.");
	return false;
}

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
	DefineCustomStringVariable("rule_engine.traceparent",
							   "The trace that events published here belong to.",
							   "A traceparent of W3C Trace Context. It travels with the event and becomes a header of its requests.",
							   &traceparent,
							   "",
							   PGC_USERSET,
							   0,
							   check_traceparent, NULL, NULL);
	MarkGUCPrefixReserved("rule_engine");
}

bool
publish_is_off(void)
{
	return !publish;
}

const char *
session_traceparent(void)
{
	return traceparent;
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
