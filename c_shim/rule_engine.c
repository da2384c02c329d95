/*
 * The SQL functions: arguments in, one Go entry, wait, result out.
 *
 * Words used here. An event is one call of a publish function. An operation is
 * what Go does for it while the backend waits. A reply is what an entry into Go
 * leaves behind (bridge.h).
 */
#include "shim.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "rule_engine", .version = RULE_ENGINE_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PG_FUNCTION_INFO_V1(rule_webhook_publish_nats);
PG_FUNCTION_INFO_V1(rule_webhook_call_unified);
PG_FUNCTION_INFO_V1(rule_nats_init);
PG_FUNCTION_INFO_V1(rule_nats_health_check);
PG_FUNCTION_INFO_V1(rule_engine_invalidate);

void		_PG_init(void);

/*
 * Tables whose rows Go caches. Their triggers send a relcache invalidation, so
 * that a publish needs no look-up: it compares a number.
 */
static const char *const cached_tables[] = {
	"rule_webhooks", "rule_nats_config", "rule_nats_streams", "rule_engine_source",
	"rule_engine_settings"
};

#define CACHED_STREAMS 2		/* whoever may change these may administer streams */

static Oid	cached_relids[lengthof(cached_tables)];

/* Raised when one of them may have changed; 0 is never a generation. */
static uint64 generation = 1;

/* The generation in which cached_relids was looked up. */
static uint64 relids_generation = 0;

static void
relation_changed(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relids_generation != generation)
	{
		generation++;
		return;
	}
	for (size_t i = 0; i < lengthof(cached_relids); i++)
		if (cached_relids[i] == relid)
			generation++;
}

void
_PG_init(void)
{
	settings_define();
	outages_prepare();
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	wake_prepare();
}

/*
 * Trigger on the cached tables: whoever commits a change of them makes every
 * backend load them again.
 */
Datum
rule_engine_invalidate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("rule_engine_invalidate() was not called by a trigger"),
				 errhint("It belongs to the extension's own tables.")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

static void
release_reply(void *conversation)
{
	free(((Conversation *) conversation)->reply.buffer);
}

re_text
text_of(const char *value)
{
	re_text		text = {value, strlen(value)};

	return text;
}

static bool
called_in_trigger(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(fcinfo)) > 0;
}

/*
 * Collects what Go needs to know about the call. The function's own pg_proc row
 * says in which schema the extension lives and whose it is.
 */
Conversation *
begin_conversation(FunctionCallInfo fcinfo)
{
	Conversation *conversation = palloc0(sizeof(Conversation));
	re_call    *call = &conversation->call;
	HeapTuple	tuple;
	Form_pg_proc proc;
	Oid			namespace;

	AcceptInvalidationMessages();

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	namespace = proc->pronamespace;
	conversation->owner = proc->proowner;
	ReleaseSysCache(tuple);

	if (relids_generation != generation)
	{
		for (size_t i = 0; i < lengthof(cached_tables); i++)
			cached_relids[i] = get_relname_relid(cached_tables[i], namespace);
		relids_generation = generation;
	}

	conversation->context = CurrentMemoryContext;
	call->schema = text_of(quote_identifier(get_namespace_name(namespace)));
	call->caller = text_of(GetUserNameFromId(GetUserId(), false));
	call->in_trigger = called_in_trigger();
	call->generation = generation;
	call->traceparent = text_of(pstrdup(session_traceparent()));
	call->transaction = U64FromFullTransactionId(GetCurrentFullTransactionIdIfAny());

	conversation->release.func = release_reply;
	conversation->release.arg = conversation;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &conversation->release);
	return conversation;
}

static void
raise_reply(const re_reply *reply)
{
	const char *state = reply->sqlstate;

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg_internal("%s", pnstrdup(reply->message.data, reply->message.len)),
			 reply->detail.data ? errdetail_internal("%s", pnstrdup(reply->detail.data, reply->detail.len)) : 0,
			 reply->hint.data ? errhint("%s", pnstrdup(reply->hint.data, reply->hint.len)) : 0));
}

static int32
wait_until_done(const GoLibrary *go, Conversation *conversation, uint32 mark)
{
	int32		status;

	do
	{
		wait_for_go(mark);
		mark = wait_mark();
		host_begin(conversation->context, conversation->owner);
		go_enter();
		status = go->step(&conversation->call, conversation->reply.operation,
						  &conversation->reply);
		go_leave();
	} while (status == RE_WAIT);
	return status;
}

/*
 * Takes an entry's status to its end: waits while Go waits, raises what there is
 * to raise. What is left is the answers.
 */
static void
end_conversation(const GoLibrary *go, Conversation *conversation, int32 status, uint32 mark)
{
	re_reply   *reply = &conversation->reply;

	if (status == RE_WAIT)
	{
		PG_TRY();
		{
			status = wait_until_done(go, conversation, mark);
		}
		PG_CATCH();
		{
			go_enter();
			go->forget(reply->operation);
			go_leave();
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	host_raise_parked();
	if (status == RE_PARKED)
		elog(ERROR, "Go reports a parked error, but there is none");
	if (status == RE_ERROR)
		raise_reply(reply);
}

static Datum
first_answer(const Conversation *conversation)
{
	re_text		answer = conversation->reply.answers[0];

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(answer.data, answer.len)));
}

/*
 * A publish leaves a row. Where none can be written nothing may be sent either.
 */
void
require_writable(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot publish on a standby"),
				 errhint("Publish on the primary.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot publish in a read-only transaction"),
				 errhint("Publish in a transaction that is READ WRITE, on the primary.")));
	PreventCommandIfParallelMode("publishing");
}

/*
 * One batch, to its end.
 */
void
send_events(Conversation *conversation, int32 route, re_event *events, int32 nevents)
{
	const GoLibrary *go = go_library();
	int32		status;
	uint32		mark;

	conversation->call.transaction = U64FromFullTransactionId(GetCurrentFullTransactionId());
	mark = wait_mark();
	host_begin(conversation->context, conversation->owner);
	go_enter();
	status = go->send(&conversation->call, route, events, nevents, &conversation->reply);
	go_leave();
	end_conversation(go, conversation, status, mark);
}

static Datum
publish(FunctionCallInfo fcinfo, int32 route)
{
	Conversation *conversation;
	Jsonb	   *payload;
	re_event	event = {0};

	require_writable();
	if (publish_is_off())
		return skipped_answer(route);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("webhook_id must not be null"),
				 errhint("Pass the webhook_id that rule_webhook_register() returned.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("payload must not be null"),
				 errhint("Pass a jsonb value; 'null'::jsonb is one.")));

	payload = PG_GETARG_JSONB_P(1);
	event.webhook_id = PG_GETARG_INT32(0);
	event.payload = text_of(JsonbToCString(NULL, &payload->root, VARSIZE(payload)));
	event.payload_handle = (uint64) JsonbPGetDatum(payload);
	if (!PG_ARGISNULL(2))
		event.message_id = text_of(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	conversation = begin_conversation(fcinfo);
	send_events(conversation, route, &event, 1);
	return first_answer(conversation);
}

Datum
rule_webhook_publish_nats(PG_FUNCTION_ARGS)
{
	return publish(fcinfo, RE_ROUTE_NATS);
}

Datum
rule_webhook_call_unified(PG_FUNCTION_ARGS)
{
	return publish(fcinfo, RE_ROUTE_BY_MODE);
}

/* A configuration's name goes in, a report comes out. */
static Datum
administer(FunctionCallInfo fcinfo, bool streams)
{
	const GoLibrary *go;
	Conversation *conversation;
	re_text		config;
	int32		status;
	uint32		mark;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("config_name must not be null"),
				 errhint("Pass the config_name of a row of rule_nats_config, such as 'default'.")));
	config = text_of(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	go = go_library();
	conversation = begin_conversation(fcinfo);
	conversation->call.administrator = !XactReadOnly && !RecoveryInProgress() &&
		pg_class_aclcheck(cached_relids[CACHED_STREAMS], GetUserId(), ACL_UPDATE) == ACLCHECK_OK;
	mark = wait_mark();
	host_begin(conversation->context, conversation->owner);
	go_enter();
	status = (streams ? go->streams : go->health) (&conversation->call, config,
												   &conversation->reply);
	go_leave();
	end_conversation(go, conversation, status, mark);
	return first_answer(conversation);
}

Datum
rule_nats_init(PG_FUNCTION_ARGS)
{
	return administer(fcinfo, true);
}

Datum
rule_nats_health_check(PG_FUNCTION_ARGS)
{
	return administer(fcinfo, false);
}
