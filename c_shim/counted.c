/*
 * What a transaction has counted in the queue.
 *
 * A transaction that queues many events would count its own again for each of
 * them. It need only add those that came since, until it finds no room: then
 * all are counted, since some may have left or been rolled back.
 */
#include "shim.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(rule_queue_counted);
PG_FUNCTION_INFO_V1(rule_queue_counted_set);

/* How far, how many events, how many bytes. */
#define NUMBERS 3

typedef struct Counted
{
	TimestampTz transaction;
	int32		webhook_id;
	int64		numbers[NUMBERS];
} Counted;

/* Of all webhooks together, and of the last one. */
static Counted counted[2];

Datum
rule_queue_counted(PG_FUNCTION_ARGS)
{
	int32		webhook_id = PG_GETARG_INT32(0);
	const Counted *of = &counted[webhook_id != 0];
	Datum		numbers[NUMBERS];

	if (of->transaction != GetCurrentTransactionStartTimestamp() || of->webhook_id != webhook_id)
		PG_RETURN_NULL();
	for (int i = 0; i < NUMBERS; i++)
		numbers[i] = Int64GetDatum(of->numbers[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(numbers, NUMBERS, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
rule_queue_counted_set(PG_FUNCTION_ARGS)
{
	int32		webhook_id = PG_GETARG_INT32(0);
	Counted    *of = &counted[webhook_id != 0];

	of->transaction = GetCurrentTransactionStartTimestamp();
	of->webhook_id = webhook_id;
	for (int i = 0; i < NUMBERS; i++)
		of->numbers[i] = PG_GETARG_INT64(i + 1);
	PG_RETURN_VOID();
}
