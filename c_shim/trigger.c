/*
 * rule_webhook_trigger('webhook name' [, 'column' ...]): publishes the rows that
 * a statement changed.
 *
 * A row trigger publishes one event. A statement trigger publishes one for each
 * row of its transition tables, in batches, so that a statement waits for NATS
 * once a batch. It runs as whoever writes to the table, who needs no right of
 * ours: the table's owner, who made the trigger, has them.
 */
#include "shim.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(rule_webhook_trigger);

/* Bounds the memory of a statement that changes many rows. */
#define BATCH_EVENTS 500

/* A trigger's events on their way: collected, then sent together. */
typedef struct Batch
{
	FunctionCallInfo fcinfo;
	TriggerData *trigger;
	const char *operation;
	const char *schema;
	const char *table;
	const char *shown;			/* schema and table, as history names them */
	MemoryContext context;		/* of what is collected */
	MemoryContext row_context;	/* of the row at hand */
	int32		capacity;
	int32		nevents;
	re_event   *events;
} Batch;

/* Columns may be named behind the webhook: then an event holds these alone. */
static int
column_count(const Batch *batch)
{
	return batch->trigger->tg_trigger->tgnargs - 1;
}

static char *
row_json(Datum row)
{
	return TextDatumGetCString(DirectFunctionCall1(row_to_json, row));
}

static char *
columns_json(const Batch *batch, char *row)
{
	Jsonb	   *whole = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(row)));
	JsonbParseState *state = NULL;
	JsonbValue *object;
	Jsonb	   *picked;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 1; i <= column_count(batch); i++)
	{
		char	   *name = batch->trigger->tg_trigger->tgargs[i];
		JsonbValue *value = getKeyJsonValueFromContainer(&whole->root, name, strlen(name), NULL);
		JsonbValue	key;

		if (value == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", name, batch->shown),
					 errhint("The arguments of rule_webhook_trigger() are a webhook's name, then the columns to send; all of them when none is named.")));
		key.type = jbvString;
		key.val.string.val = name;
		key.val.string.len = strlen(name);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, value);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	picked = JsonbValueToJsonb(object);
	return JsonbToCString(NULL, &picked->root, VARSIZE(picked));
}

static void
batch_send(Batch *batch)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->context);
	Conversation *conversation;

	if (batch->nevents > 0)
	{
		conversation = begin_conversation(batch->fcinfo);
		conversation->call.table = text_of(batch->shown);
		send_events(conversation, RE_ROUTE_BY_MODE, batch->events, batch->nevents);
	}
	batch->nevents = 0;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(batch->context);
}

/* A row's event; rows come as composite values, 0 for what is not there. */
static void
batch_collect(Batch *batch, Datum old_row, Datum new_row)
{
	char	   *old_json = old_row ? row_json(old_row) : NULL;
	char	   *new_json = new_row ? row_json(new_row) : NULL;
	re_event   *event = &batch->events[batch->nevents];
	StringInfoData text;
	Jsonb	   *payload;

	if (column_count(batch) > 0)
	{
		old_json = old_json ? columns_json(batch, old_json) : NULL;
		new_json = new_json ? columns_json(batch, new_json) : NULL;
		/* Nothing that the receiver would see has changed. */
		if (old_json && new_json && strcmp(old_json, new_json) == 0)
			return;
	}

	initStringInfo(&text);
	appendStringInfo(&text, "{\"operation\": \"%s\", \"schema\": ", batch->operation);
	escape_json(&text, batch->schema);
	appendStringInfoString(&text, ", \"table\": ");
	escape_json(&text, batch->table);
	if (new_json)
		appendStringInfo(&text, ", \"new\": %s", new_json);
	if (old_json)
		appendStringInfo(&text, ", \"old\": %s", old_json);
	appendStringInfoChar(&text, '}');

	MemoryContextSwitchTo(batch->context);
	payload = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));

	MemSet(event, 0, sizeof(*event));
	event->webhook_name = text_of(batch->trigger->tg_trigger->tgargs[0]);
	event->payload = text_of(JsonbToCString(NULL, &payload->root, VARSIZE(payload)));
	event->payload_handle = (uint64) JsonbPGetDatum(payload);
	batch->nevents++;
}

/* The rows may lie in row_context, which is emptied. */
static void
batch_add(Batch *batch, Datum old_row, Datum new_row)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->row_context);

	batch_collect(batch, old_row, new_row);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(batch->row_context);
	if (batch->nevents == batch->capacity)
		batch_send(batch);
}

static void
publish_row(Batch *batch)
{
	TriggerData *trigger = batch->trigger;
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	Datum		row = heap_copy_tuple_as_datum(trigger->tg_trigtuple, descriptor);

	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		batch_add(batch, 0, row);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		batch_add(batch, row, 0);
	else
		batch_add(batch, row, heap_copy_tuple_as_datum(trigger->tg_newtuple, descriptor));
}

/* A transition table, read with a position of our own: other triggers read it, too. */
typedef struct Rows
{
	Tuplestorestate *store;		/* NULL: the trigger does not reference it */
	TupleTableSlot *slot;
	int			position;
} Rows;

static void
rows_open(Rows *rows, Tuplestorestate *store, Relation relation)
{
	rows->store = store;
	if (store == NULL)
		return;
	rows->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	rows->position = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, rows->position);
	tuplestore_rescan(store);
}

/* The next row, 0 behind the last one. */
static Datum
rows_next(Rows *rows)
{
	MemoryContext caller;
	bool		found;

	if (rows->store == NULL)
		return 0;
	tuplestore_select_read_pointer(rows->store, rows->position);

	/* The slot frees a tuple that was read from a file, so it must own it. */
	caller = MemoryContextSwitchTo(rows->slot->tts_mcxt);
	found = tuplestore_gettupleslot(rows->store, true, false, rows->slot);
	MemoryContextSwitchTo(caller);
	return found ? ExecFetchSlotHeapTupleDatum(rows->slot) : 0;
}

static void
publish_statement(Batch *batch)
{
	TriggerData *trigger = batch->trigger;
	Rows		old_rows = {0};
	Rows		new_rows = {0};

	if (trigger->tg_oldtable == NULL && trigger->tg_newtable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("statement trigger \"%s\" has no transition table", trigger->tg_trigger->tgname),
				 errhint("Make it with REFERENCING NEW TABLE AS new_rows (OLD TABLE for DELETE), or FOR EACH ROW.")));

	if (trigger->tg_oldtable && trigger->tg_newtable &&
		tuplestore_tuple_count(trigger->tg_oldtable) != tuplestore_tuple_count(trigger->tg_newtable))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot tell which old row belongs to which new one",
						trigger->tg_trigger->tgname),
				 errdetail("A row that moved to another partition was dropped there by a trigger."),
				 errhint("Make the trigger FOR EACH ROW.")));

	rows_open(&old_rows, trigger->tg_oldtable, trigger->tg_relation);
	rows_open(&new_rows, trigger->tg_newtable, trigger->tg_relation);
	for (;;)
	{
		MemoryContext caller = MemoryContextSwitchTo(batch->row_context);
		/* An UPDATE puts both versions of a row at the same place of the two tables. */
		Datum		old_row = rows_next(&old_rows);
		Datum		new_row = rows_next(&new_rows);

		MemoryContextSwitchTo(caller);
		CHECK_FOR_INTERRUPTS();
		if (!old_row && !new_row)
			break;
		batch_add(batch, old_row, new_row);
	}
	if (old_rows.store != NULL)
		ExecDropSingleTupleTableSlot(old_rows.slot);
	if (new_rows.store != NULL)
		ExecDropSingleTupleTableSlot(new_rows.slot);
}

/* The table that the trigger was made on: a partition fires its table's. */
static Oid
triggered_table(TriggerData *trigger)
{
	Oid			table = RelationGetRelid(trigger->tg_relation);

#if PG_VERSION_NUM >= 150000
	if (trigger->tg_trigger->tgisclone)
		table = llast_oid(get_partition_ancestors(table));
#endif
	return table;
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("rule_webhook_trigger() was not called by a trigger"),
				 errhint("CREATE TRIGGER ... AFTER INSERT ON ... FOR EACH ROW EXECUTE FUNCTION rule_webhook_trigger('webhook name').")));
	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) || TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" cannot publish", trigger->tg_trigger->tgname),
				 errhint("rule_webhook_trigger() is for triggers AFTER INSERT, UPDATE or DELETE.")));
	if (trigger->tg_trigger->tgnargs < 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" names no webhook", trigger->tg_trigger->tgname),
				 errhint("EXECUTE FUNCTION rule_webhook_trigger('webhook name').")));
}

Datum
rule_webhook_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Batch	   *batch;
	Oid			table;

	check_trigger(fcinfo);
	require_writable();
	if (publish_is_off())
		return PointerGetDatum(NULL);

	table = triggered_table(trigger);
	batch = palloc0(sizeof(Batch));
	batch->fcinfo = fcinfo;
	batch->trigger = trigger;
	batch->operation = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? "INSERT" :
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? "DELETE" : "UPDATE";
	batch->schema = get_namespace_name(get_rel_namespace(table));
	batch->table = get_rel_name(table);
	batch->shown = quote_qualified_identifier(batch->schema, batch->table);
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "rule_engine trigger", ALLOCSET_DEFAULT_SIZES);
	batch->row_context = AllocSetContextCreate(CurrentMemoryContext, "rule_engine trigger's row", ALLOCSET_DEFAULT_SIZES);
	batch->capacity = TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? 1 : BATCH_EVENTS;
	batch->events = palloc(batch->capacity * sizeof(re_event));

	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		publish_row(batch);
	else
		publish_statement(batch);
	batch_send(batch);
	MemoryContextDelete(batch->row_context);
	MemoryContextDelete(batch->context);
	return PointerGetDatum(NULL);
}
