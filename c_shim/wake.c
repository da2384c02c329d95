/*
 * Waking an idle worker.
 *
 * NOTIFY takes one lock for the whole server at commit and keeps it over the
 * flush, so a transaction that queues an event notifies only while a worker
 * says that it is idle. The worker says so by a session's share lock on an
 * advisory key. Such a transaction tries the same key before it commits, in a
 * mode that conflicts with the worker's and not with its like. If it gets the
 * key it keeps it until its commit is visible: a worker that could say that it
 * is idle finds with its next claim whatever was committed without a word.
 *
 * Every login may take advisory locks. A share lock of a stranger makes commits
 * notify, an exclusive one leaves workers with the poll as well. Neither loses
 * an event, and whoever can log in may send NOTIFYs of his own, so it is not
 * looked at who has the key.
 */
#include "shim.h"

#include "access/xact.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(rule_engine_queued);
PG_FUNCTION_INFO_V1(rule_queue_wake);
PG_FUNCTION_INFO_V1(rule_worker_idle);

/* What rule_worker_idle() tells workers to listen on. */
#define CHANNEL "rule_engine_queue"

/* As pg_advisory_lock(1919247718, 1); events have the key before it. */
#define IDLE_KEY 1919247718
#define IDLE_KEY_2 1
#define TWO_KEYS 2

#define IDLE_MODE ShareLock
#define QUEUED_MODE RowExclusiveLock

/* NOTIFY fails when nobody reads the server's queue of them, and with it the commit. */
#define QUEUE_TOO_FULL 0.5

/* The transaction made an event due, a subtransaction that rolled back perhaps. */
static bool made_due = false;

/* Never waits, and never fails for want of shared memory. */
static LockAcquireResult
try_key(LOCKTAG *key, LOCKMODE mode, bool session)
{
	SET_LOCKTAG_ADVISORY(*key, MyDatabaseId, IDLE_KEY, IDLE_KEY_2, TWO_KEYS);
#if PG_VERSION_NUM >= 180000
	return LockAcquireExtended(key, mode, session, true, false, NULL, false);
#else
	return LockAcquireExtended(key, mode, session, true, false, NULL);
#endif
}

static void
wake_idle_worker(void)
{
	LOCKTAG		key;

	if (try_key(&key, QUEUED_MODE, false) != LOCKACQUIRE_NOT_AVAIL)
		return;
	if (DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) < QUEUE_TOO_FULL)
		Async_Notify(CHANNEL, "");
}

/* Not before PREPARE TRANSACTION, which refuses NOTIFY: there the poll serves. */
static void
transaction_ends(XactEvent event, void *arg)
{
	bool		wake = made_due && event == XACT_EVENT_PRE_COMMIT;

	(void) arg;
	if (event == XACT_EVENT_PRE_PREPARE)
		return;
	made_due = false;
	if (wake)
		wake_idle_worker();
}

/* To be called once, when the library is loaded. */
void
wake_prepare(void)
{
	RegisterXactCallback(transaction_ends, NULL);
}

static Datum
column(TriggerData *trigger, const char *name)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(descriptor, name);
	bool		is_null;
	Datum		value;

	if (number <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"", RelationGetRelationName(trigger->tg_relation), name);
	value = SPI_getbinval(trigger->tg_trigtuple, descriptor, number, &is_null);
	return is_null ? 0 : value;
}

static bool
is_due(TriggerData *trigger)
{
	Datum		status = column(trigger, "status");

	return status != 0 && strcmp(TextDatumGetCString(status), "pending") == 0 &&
		DatumGetTimestampTz(column(trigger, "next_retry_at")) <= GetCurrentTimestamp();
}

/*
 * Trigger on the queue: the commit of a row that a worker may take now is to
 * wake one.
 */
Datum
rule_engine_queued(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("rule_engine_queued() was not called by a trigger BEFORE INSERT for each row"),
				 errhint("It belongs to the extension's own queue.")));
	made_due = made_due || is_due(trigger);
	return PointerGetDatum(trigger->tg_trigtuple);
}

/* The same for rows that an UPDATE made due. */
Datum
rule_queue_wake(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	made_due = true;
	PG_RETURN_VOID();
}

/*
 * Takes the idle worker's lock, once however often it is asked to, or gives it
 * back. False when it cannot be had now: a commit is under way that wakes nobody.
 */
Datum
rule_worker_idle(PG_FUNCTION_ARGS)
{
	bool		idle = PG_GETARG_BOOL(0);
	LOCKTAG		key;
	LockAcquireResult result = try_key(&key, IDLE_MODE, true);

	if (result == LOCKACQUIRE_NOT_AVAIL)
		PG_RETURN_BOOL(false);
	if (result != LOCKACQUIRE_OK)
		LockRelease(&key, IDLE_MODE, true);
	if (!idle)
		LockRelease(&key, IDLE_MODE, true);
	PG_RETURN_BOOL(idle);
}
