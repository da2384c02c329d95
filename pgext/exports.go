package main

/*
#include <stdlib.h>
#include "../c_shim/bridge.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// here is this process' engine; C starts Go once a process.
var here *engine

//export re_go_start
func re_go_start(host *C.re_host, signal *C.re_signal, backend *C.re_backend) (abi C.int32_t) {
	defer func() {
		if recover() != nil {
			abi = 0
		}
	}()
	// The backend's own thread holds one while it is in here; with one in all,
	// whatever NATS sends would wait for it.
	runtime.GOMAXPROCS(2)
	here = newEngine(&spi{host: host}, waker(signal), goText(backend.database), int32(backend.pid), uint32(backend.database_oid),
		sharedOutages(backend))
	return C.RE_ABI
}

// waker answers the function that wakes C (bridge.h, re_signal).
func waker(signal *C.re_signal) func() {
	woken := (*uint32)(unsafe.Pointer(&signal.woken))
	waiting := (*uint32)(unsafe.Pointer(&signal.waiting))
	descriptor := int(signal.eventfd)
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	return func() {
		atomic.AddUint32(woken, 1)
		if atomic.LoadUint32(waiting) != 0 {
			_, _ = syscall.Write(descriptor, one)
		}
	}
}

// sharedOutages is the server's shared memory for them (bridge.h, re_backend).
func sharedOutages(backend *C.re_backend) outages {
	if backend.outages == nil {
		return nil
	}
	return unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(backend.outages)), C.RE_OUTAGES)
}

//export re_go_send
func re_go_send(c *C.re_call, route C.int32_t, events *C.re_event, n C.int32_t, reply *C.re_reply) C.int32_t {
	return enter(reply, func() ([]string, int64, error) {
		given := unsafe.Slice(events, n)
		batch := make([]*event, n)
		for i := range given {
			batch[i] = &event{
				webhookName:   goText(given[i].webhook_name),
				byName:        given[i].webhook_name.data != nil,
				webhookID:     int32(given[i].webhook_id),
				messageID:     goText(given[i].message_id),
				named:         given[i].message_id.data != nil,
				payload:       C.GoBytes(unsafe.Pointer(given[i].payload.data), C.int(given[i].payload.len)),
				payloadHandle: uint64(given[i].payload_handle),
			}
		}
		return here.send(goCall(c), route == C.RE_ROUTE_BY_MODE, batch)
	})
}

//export re_go_health
func re_go_health(c *C.re_call, config C.re_text, reply *C.re_reply) C.int32_t {
	return enter(reply, func() ([]string, int64, error) {
		return here.checkHealth(goCall(c), goText(config))
	})
}

//export re_go_streams
func re_go_streams(c *C.re_call, config C.re_text, reply *C.re_reply) C.int32_t {
	return enter(reply, func() ([]string, int64, error) {
		return here.alignStreams(goCall(c), goText(config))
	})
}

//export re_go_step
func re_go_step(c *C.re_call, operation C.int64_t, reply *C.re_reply) C.int32_t {
	return enter(reply, func() ([]string, int64, error) {
		answers, err := here.step(goCall(c), int64(operation))
		return answers, int64(operation), err
	})
}

//export re_go_forget
func re_go_forget(operation C.int64_t) {
	defer func() { _ = recover() }()
	here.forget(int64(operation))
}

// enter runs an entry and puts what it answers into the reply. A panic must end
// here: it would take the backend and with it the cluster down.
func enter(reply *C.re_reply, entry func() ([]string, int64, error)) (status C.int32_t) {
	defer func() {
		if p := recover(); p != nil {
			status = raise(reply, bug("panic: %v", p))
		}
	}()
	answers, operation, err := entry()
	switch {
	case errors.Is(err, errParked):
		return C.RE_PARKED
	case err != nil:
		var wrong *sqlError
		if !errors.As(err, &wrong) {
			wrong = bug("%v", err)
		}
		return raise(reply, wrong)
	case answers == nil:
		reply.operation = C.int64_t(operation)
		return C.RE_WAIT
	}
	cells := fill(reply, answers)
	reply.answers = &cells[0]
	reply.nanswers = C.int32_t(len(cells))
	return C.RE_DONE
}

func raise(reply *C.re_reply, wrong *sqlError) C.int32_t {
	texts := fill(reply, []string{wrong.message, wrong.detail, wrong.hint})
	reply.message = texts[0]
	if wrong.detail != "" {
		reply.detail = texts[1]
	}
	if wrong.hint != "" {
		reply.hint = texts[2]
	}
	for i := range 5 {
		reply.sqlstate[i] = C.char(wrong.state[i])
	}
	return C.RE_ERROR
}

// fill copies texts into one block that C frees, the re_texts first.
func fill(reply *C.re_reply, values []string) []C.re_text {
	head := len(values) * int(unsafe.Sizeof(C.re_text{}))
	size := head
	for _, v := range values {
		size += len(v)
	}
	// C.malloc never returns nil: it ends the process, as Go itself does.
	reply.buffer = C.malloc(C.size_t(size + 1))
	block := unsafe.Slice((*byte)(reply.buffer), size)
	texts := unsafe.Slice((*C.re_text)(reply.buffer), len(values))
	at := head
	for i, v := range values {
		texts[i].data = (*C.char)(unsafe.Add(reply.buffer, at))
		texts[i].len = C.size_t(len(v))
		at += copy(block[at:], v)
	}
	return texts
}

func goText(t C.re_text) string {
	if t.data == nil {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(t.data)), int(t.len)))
}

func goCall(c *C.re_call) call {
	return call{
		schema:        goText(c.schema),
		caller:        goText(c.caller),
		inTrigger:     c.in_trigger != 0,
		table:         goText(c.table),
		administrator: c.administrator != 0,
		transaction:   uint64(c.transaction),
		generation:    uint64(c.generation),
		traceparent:   goText(c.traceparent),
	}
}
