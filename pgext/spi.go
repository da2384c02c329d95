package main

/*
#include <stdlib.h>
#include "../c_shim/bridge.h"

static int32_t
call_prepare(re_host *host, const char *sql, int32_t n, const int32_t *kinds, int64_t *plan)
{
	return host->prepare(sql, n, kinds, plan);
}

static int32_t
call_execute(re_host *host, int64_t plan, int32_t n, const re_value *values, int32_t see, re_rows *rows)
{
	return host->execute(plan, n, values, see, rows);
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// spi is the database behind C's host table.
type spi struct {
	host *C.re_host
}

func (s *spi) prepare(sql string, kinds []kind) (int64, error) {
	text := C.CString(sql)
	defer C.free(unsafe.Pointer(text))
	list := make([]C.int32_t, len(kinds)+1)
	for i, k := range kinds {
		list[i] = C.int32_t(k)
	}
	var plan C.int64_t
	if C.call_prepare(s.host, text, C.int32_t(len(kinds)), &list[0], &plan) != C.RE_HOST_OK {
		return 0, errParked
	}
	return int64(plan), nil
}

func (s *spi) execute(plan int64, values []value, see snapshot) ([][]cell, error) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	list := make([]C.re_value, len(values)+1)
	for i, v := range values {
		list[i].kind = C.int32_t(v.kind)
		list[i].i = C.int64_t(v.int)
		list[i].f = C.double(v.float)
		if v.null {
			list[i].is_null = 1
		}
		if v.kind == kindText && v.text != "" {
			data := unsafe.StringData(v.text)
			pinner.Pin(data)
			list[i].text = C.re_text{data: (*C.char)(unsafe.Pointer(data)), len: C.size_t(len(v.text))}
		}
	}
	var rows C.re_rows
	if C.call_execute(s.host, C.int64_t(plan), C.int32_t(len(values)), &list[0], C.int32_t(see), &rows) != C.RE_HOST_OK {
		return nil, errParked
	}
	result := make([][]cell, int(rows.nrows))
	cells := unsafe.Slice(rows.cells, int(rows.nrows*rows.ncols))
	for i := range result {
		result[i] = make([]cell, int(rows.ncols))
		for j := range result[i] {
			given := cells[i*int(rows.ncols)+j]
			result[i][j] = cell{text: goText(given), null: given.data == nil}
		}
	}
	return result, nil
}
