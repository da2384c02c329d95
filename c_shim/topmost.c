/*
 * Which transaction a subtransaction is a part of.
 *
 * SQL can ask what became of either and not which belongs to which. One
 * transaction can have a hundred thousand of them, a savepoint for each event.
 */
#include "shim.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "storage/procarray.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(rule_transaction_top);

/*
 * The same id for one that is not in progress: whose it was is not kept. What
 * is in progress is no older than this session's snapshot, and until that goes
 * nothing that lies behind it is removed.
 */
Datum
rule_transaction_top(PG_FUNCTION_ARGS)
{
	FullTransactionId part = PG_GETARG_FULLTRANSACTIONID(0);
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xid = XidFromFullTransactionId(part);
	uint64		behind = U64FromFullTransactionId(next) - U64FromFullTransactionId(part);

	/* Of another epoch, or of the future (and then far behind by wrapping), xid would be another's. */
	if (!TransactionIdIsNormal(xid) || behind > PG_INT32_MAX || !TransactionIdIsInProgress(xid))
		PG_RETURN_FULLTRANSACTIONID(part);
	PG_RETURN_FULLTRANSACTIONID(FullTransactionIdFromU64(
		U64FromFullTransactionId(part) - (uint32) (xid - SubTransGetTopmostTransaction(xid))));
}
