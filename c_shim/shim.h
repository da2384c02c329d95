/*
 * What the files of the shim share.
 */
#ifndef RULE_ENGINE_SHIM_H
#define RULE_ENGINE_SHIM_H

#include "postgres.h"

#include "fmgr.h"

#include "bridge.h"

/* rule_engine.c: one call of a SQL function, and what Go leaves behind for it. */
typedef struct Conversation
{
	re_call		call;
	re_reply	reply;
	Oid			owner;			/* of the extension */
	MemoryContext context;
	MemoryContextCallback release;
} Conversation;

extern re_text text_of(const char *value);
extern void require_writable(void);
extern Conversation *begin_conversation(FunctionCallInfo fcinfo);
extern void send_events(Conversation *conversation, int32 route, re_event *events, int32 nevents);

/* settings.c: rule_engine.*. */
extern void settings_define(void);
extern bool publish_is_off(void);
extern const char *session_traceparent(void);
extern Datum skipped_answer(int32 route);

/* go_library.c: the Go library, opened at the first call that needs it. */
typedef struct GoLibrary
{
	re_go_send_fn send;
	re_go_health_fn health;
	re_go_streams_fn streams;
	re_go_step_fn step;
	re_go_forget_fn forget;
} GoLibrary;

extern const GoLibrary *go_library(void);
extern void go_enter(void);
extern void go_leave(void);

/* room.c: whether the machine has what Go takes. */
extern void check_room(void);

/* host.c: the database, for Go. */
extern re_host host_table;
extern void host_begin(MemoryContext results, Oid owner);
extern void host_raise_parked(void);

/* wait.c: waiting for Go without keeping Postgres waiting. */
extern re_signal go_signal;
extern void wait_prepare(void);
extern uint32 wait_mark(void);
extern void wait_for_go(uint32 mark);

/* outages.c: what backends know of NATS together. */
extern uint64 *shared_outages;
extern void outages_prepare(void);

/* wake.c: idle workers. */
extern void wake_prepare(void);

#endif							/* RULE_ENGINE_SHIM_H */
