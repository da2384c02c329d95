/*
 * The whole contract between the C shim and the Go library, in plain C: cgo
 * needs no server header to read it, and neither side includes more of the
 * other than this.
 *
 * Sending has one entry. A batch of events goes in (re_go_send); the reply is
 * either done at once or names an operation. The shim then waits until Go says
 * through re_signal that there is something to do, and calls re_go_step with
 * the operation: done, or wait again. A publish is a batch of one.
 *
 * Every entry runs on the backend's own thread, returns at once, and reaches
 * the database only through re_host, only while it runs. Go keeps no pointer
 * that it was given beyond the entry's return, but for re_host and re_signal,
 * which live as long as the process.
 */
#ifndef RULE_ENGINE_BRIDGE_H
#define RULE_ENGINE_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

/* Raised by any change of this file; the shim refuses a library of another. */
#define RE_ABI 4

/* Bytes with a length, UTF-8, not terminated. data is NULL for what is absent. */
typedef struct re_text
{
	const char *data;
	size_t		len;
} re_text;

/* What a value of a statement is, in SQL's terms. */
enum re_kind
{
	RE_BOOL = 1,				/* boolean, in i */
	RE_INT4,					/* integer, in i */
	RE_INT8,					/* bigint, in i */
	RE_XID8,					/* xid8, in i */
	RE_FLOAT8,					/* double precision, in f */
	RE_TEXT,					/* text, in text */
	RE_PAYLOAD					/* jsonb: the handle of an event's payload, in i */
};

typedef struct re_value
{
	int32_t		kind;
	int32_t		is_null;
	int64_t		i;
	double		f;
	re_text		text;
} re_value;

/* A result: nrows * ncols texts, row after row, valid until the entry returns. */
typedef struct re_rows
{
	int32_t		nrows;
	int32_t		ncols;
	re_text    *cells;
} re_rows;

/* Which rows a statement sees. */
enum re_snapshot
{
	RE_SNAPSHOT_ACTIVE = 1,		/* as the calling query's next statement would */
	RE_SNAPSHOT_LATEST			/* all that has committed by now; read only */
};

/* What a host function answers. */
enum re_host_code
{
	RE_HOST_OK = 0,
	RE_HOST_PARKED				/* an error waits in C: return, it is raised there */
};

/*
 * The database, as Go sees it. Each function opens the signal mask while it is
 * inside Postgres and keeps a raised error in C, so that no longjmp crosses a
 * Go frame; once an error is parked, every further call answers RE_HOST_PARKED.
 */
typedef struct re_host
{
	int32_t		(*prepare) (const char *sql, int32_t nkinds,
							const int32_t *kinds, int64_t *plan);
	int32_t		(*execute) (int64_t plan, int32_t nvalues,
							const re_value *values, int32_t snapshot,
							re_rows *rows);
} re_host;

/*
 * How Go wakes the shim: it raises `woken`, and writes to the eventfd only when
 * `waiting` says that the shim sleeps. Both are read and written atomically.
 */
typedef struct re_signal
{
	uint32_t	woken;
	uint32_t	waiting;
	int32_t		eventfd;
} re_signal;

/*
 * What the backends of a server know of NATS together: words in shared memory,
 * zero at first, which only Go reads and writes, each atomically. Go's threads
 * do so by themselves: an attempt to connect ends when no entry runs, and its
 * caller may be gone by then. They may take no lock there, since a backend that
 * exits ends them at any moment.
 */
#define RE_OUTAGES 1024

/* Facts about the backend that do not change while it lives. */
typedef struct re_backend
{
	re_text		database;
	int32_t		pid;
	uint32_t	database_oid;
	uint64_t   *outages;		/* RE_OUTAGES words; NULL where not preloaded */
} re_backend;

/* Facts about one call. */
typedef struct re_call
{
	re_text		schema;			/* of the extension, quoted where SQL needs it */
	re_text		caller;			/* role in force at the call */
	int32_t		in_trigger;
	re_text		table;			/* whose trigger publishes; absent: none of ours */
	int32_t		administrator;	/* caller may change rule_nats_streams */
	uint64_t	transaction;	/* full id of the current (sub)transaction */
	uint64_t	generation;		/* raised when cached rows may have changed */
	re_text		traceparent;	/* the session's; empty: none */
} re_call;

typedef struct re_event
{
	re_text		webhook_name;	/* absent: webhook_id says which */
	int32_t		webhook_id;
	re_text		message_id;		/* absent: Go makes one */
	re_text		payload;		/* JSON text */
	uint64_t	payload_handle; /* for RE_PAYLOAD values */
} re_event;

/* Which way re_go_send takes. */
enum re_route
{
	RE_ROUTE_NATS = 1,			/* rule_webhook_publish_nats */
	RE_ROUTE_BY_MODE			/* rule_webhook_call_unified */
};

enum re_status
{
	RE_DONE = 0,				/* answers holds a JSON object for each event */
	RE_WAIT,					/* call re_go_step(operation) when woken */
	RE_ERROR,					/* sqlstate, message, detail, hint */
	RE_PARKED					/* raise the error that the host parked */
};

/*
 * What an entry leaves. An answer says how its event fared: acknowledged
 * (success, stream, sequence, duplicate), rejected (error_code, error) or
 * unknown; and where it went instead. The buffers come from malloc; the shim
 * frees them.
 */
typedef struct re_reply
{
	int64_t		operation;
	int32_t		nanswers;
	re_text    *answers;
	char		sqlstate[6];
	re_text		message;
	re_text		detail;
	re_text		hint;
	void	   *buffer;			/* what all texts above point into */
} re_reply;

/* The entries; each answers an re_status, but for the first and the last. */

/* Once a process, before any other. Answers the library's RE_ABI. */
typedef int32_t (*re_go_start_fn) (re_host *host, re_signal *signal,
								   re_backend *backend);
typedef int32_t (*re_go_send_fn) (re_call *call, int32_t route,
								  re_event *events, int32_t nevents,
								  re_reply *reply);

/* Health of a configuration; one answer. */
typedef int32_t (*re_go_health_fn) (re_call *call, re_text config,
									re_reply *reply);

/* Brings a configuration's streams in line, or reports; one answer. */
typedef int32_t (*re_go_streams_fn) (re_call *call, re_text config,
									 re_reply *reply);
typedef int32_t (*re_go_step_fn) (re_call *call, int64_t operation,
								  re_reply *reply);

/* The caller was cancelled: its operation's outcome interests nobody. */
typedef void (*re_go_forget_fn) (int64_t operation);

#endif							/* RULE_ENGINE_BRIDGE_H */
