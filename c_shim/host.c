/*
 * The database as Go reaches it: re_host over SPI.
 *
 * These functions run below a Go frame, which a longjmp must not cross: an
 * error is caught here, kept, and raised again once Go has returned. The
 * transaction is then aborted as after any error, which also ends SPI, so no
 * subtransaction is needed.
 */
#include "shim.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

/* More than any statement of ours has. */
#define MAX_VALUES 32

/*
 * What one entry into Go works with. A statement may fire a trigger that enters
 * Go again, so each host function puts its own back.
 */
typedef struct HostState
{
	MemoryContext results;		/* where rows go */
	Oid			owner;			/* whose rights statements have */
	ErrorData  *parked;			/* to be raised once Go has returned */
} HostState;

static HostState state;

/*
 * To be called before each entry: results go to this context, statements run
 * with the rights of this role.
 */
void
host_begin(MemoryContext results, Oid owner)
{
	state.results = results;
	state.owner = owner;
	state.parked = NULL;
}

/*
 * Raises the error that waits, if there is one: it comes before whatever Go
 * makes of it.
 */
void
host_raise_parked(void)
{
	ErrorData  *error = state.parked;

	state.parked = NULL;
	if (error != NULL)
		ReThrowError(error);
}

/*
 * A host function's way into Postgres and out of it: the signal mask as it
 * stood before Go was entered, or a cancel could not arrive, and the owner's
 * rights. The flag keeps SET ROLE and the like out (miscadmin.h,
 * SECURITY_LOCAL_USERID_CHANGE).
 */
typedef struct HostVisit
{
	HostState	state;
	MemoryContext context;
	Oid			user;
	int			security;
} HostVisit;

static void
visit_begin(HostVisit *visit)
{
	visit->state = state;
	visit->context = CurrentMemoryContext;
	GetUserIdAndSecContext(&visit->user, &visit->security);
	SetUserIdAndSecContext(state.owner,
						   visit->security | SECURITY_LOCAL_USERID_CHANGE);
	go_leave();
}

static void
visit_park(HostVisit *visit)
{
	MemoryContextSwitchTo(visit->context);
	visit->state.parked = CopyErrorData();
	FlushErrorState();
}

static int32_t
visit_end(HostVisit *visit)
{
	go_enter();
	SetUserIdAndSecContext(visit->user, visit->security);
	state = visit->state;
	return state.parked != NULL ? RE_HOST_PARKED : RE_HOST_OK;
}

static Oid
kind_type(int32 kind)
{
	switch (kind)
	{
		case RE_BOOL:
			return BOOLOID;
		case RE_INT4:
			return INT4OID;
		case RE_INT8:
			return INT8OID;
		case RE_XID8:
			return XID8OID;
		case RE_FLOAT8:
			return FLOAT8OID;
		case RE_TEXT:
			return TEXTOID;
		case RE_PAYLOAD:
			return JSONBOID;
	}
	elog(ERROR, "unknown kind of value: %d", kind);
}

static Datum
value_datum(const re_value *value)
{
	switch (value->kind)
	{
		case RE_BOOL:
			return BoolGetDatum(value->i != 0);
		case RE_INT4:
			return Int32GetDatum((int32) value->i);
		case RE_INT8:
			return Int64GetDatum(value->i);
		case RE_XID8:
			return FullTransactionIdGetDatum(FullTransactionIdFromU64((uint64) value->i));
		case RE_FLOAT8:
			return Float8GetDatum(value->f);
		case RE_TEXT:
			/* What a server or a library said is bytes; a text is not. */
			pg_verifymbstr(value->text.data, value->text.len, false);
			return PointerGetDatum(cstring_to_text_with_len(value->text.data,
															value->text.len));
		case RE_PAYLOAD:
			return (Datum) value->i;
	}
	elog(ERROR, "unknown kind of value: %d", value->kind);
}

static int32_t
host_prepare(const char *sql, int32_t nkinds, const int32_t *kinds, int64_t *plan)
{
	HostVisit	visit;

	if (state.parked != NULL)
		return RE_HOST_PARKED;

	visit_begin(&visit);
	PG_TRY();
	{
		Oid			types[MAX_VALUES];
		SPIPlanPtr	prepared;

		if (nkinds > MAX_VALUES)
			elog(ERROR, "too many values in a statement");
		for (int i = 0; i < nkinds; i++)
			types[i] = kind_type(kinds[i]);

		SPI_connect();
		prepared = SPI_prepare(sql, nkinds, types);
		if (prepared == NULL)
			elog(ERROR, "could not prepare a statement: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		SPI_finish();
		*plan = (int64_t) (intptr_t) prepared;
	}
	PG_CATCH();
	{
		visit_park(&visit);
	}
	PG_END_TRY();
	return visit_end(&visit);
}

/* Copies the result of the statement that SPI just ran. */
static void
copy_rows(re_rows *rows, MemoryContext results)
{
	TupleDesc	descriptor = SPI_tuptable->tupdesc;
	int			ncols = descriptor->natts;
	int			nrows = (int) SPI_processed;

	rows->cells = MemoryContextAllocZero(results,
										 Max(nrows * ncols, 1) * sizeof(re_text));
	rows->nrows = nrows;
	rows->ncols = ncols;
	for (int row = 0; row < nrows; row++)
		for (int col = 0; col < ncols; col++)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[row], descriptor, col + 1);
			re_text    *cell = &rows->cells[row * ncols + col];

			if (value == NULL)
				continue;
			cell->data = MemoryContextStrdup(results, value);
			cell->len = strlen(value);
		}
}

static int32_t
host_execute(int64_t plan, int32_t nvalues, const re_value *values,
			 int32_t snapshot, re_rows *rows)
{
	HostVisit	visit;

	if (state.parked != NULL)
		return RE_HOST_PARKED;

	visit_begin(&visit);
	PG_TRY();
	{
		SPIPlanPtr	prepared = (SPIPlanPtr) (intptr_t) plan;
		Datum		datums[MAX_VALUES];
		char		nulls[MAX_VALUES];
		int			result;

		if (nvalues > MAX_VALUES)
			elog(ERROR, "too many values in a statement");
		SPI_connect();
		for (int i = 0; i < nvalues; i++)
		{
			nulls[i] = values[i].is_null ? 'n' : ' ';
			datums[i] = values[i].is_null ? (Datum) 0 : value_datum(&values[i]);
		}
		if (snapshot == RE_SNAPSHOT_LATEST)
			result = SPI_execute_snapshot(prepared, datums, nulls, GetLatestSnapshot(),
										  InvalidSnapshot, true, false, 0);
		else
			result = SPI_execute_plan(prepared, datums, nulls, false, 0);
		if (result < 0)
			elog(ERROR, "could not run a statement: %s", SPI_result_code_string(result));
		if (SPI_tuptable != NULL)
			copy_rows(rows, visit.state.results);
		SPI_finish();
	}
	PG_CATCH();
	{
		visit_park(&visit);
	}
	PG_END_TRY();
	return visit_end(&visit);
}

/* Not const: it is handed to Go through a plain pointer. */
re_host		host_table = {host_prepare, host_execute};
