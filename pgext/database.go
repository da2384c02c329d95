package main

import (
	"fmt"
	"strings"
)

// snapshot says which rows a statement sees (bridge.h, re_snapshot).
type snapshot int32

const (
	activeSnapshot snapshot = 1
	latestSnapshot snapshot = 2
)

// kind is the SQL type of a statement's value (bridge.h, re_kind).
type kind int32

const (
	kindBool kind = iota + 1
	kindInt4
	kindInt8
	kindXID8
	kindFloat8
	kindText
	kindPayload
)

// value is one value for a statement; the zero value of its kind is not NULL.
type value struct {
	kind  kind
	null  bool
	int   int64
	float float64
	text  string
}

func boolean(b bool) value {
	if b {
		return value{kind: kindBool, int: 1}
	}
	return value{kind: kindBool}
}

func integer(i int32) value       { return value{kind: kindInt4, int: int64(i)} }
func bigint(i int64) value        { return value{kind: kindInt8, int: i} }
func xid8(id uint64) value        { return value{kind: kindXID8, int: int64(id)} }
func float(f float64) value       { return value{kind: kindFloat8, float: f} }
func text(s string) value         { return value{kind: kindText, text: s} }
func payload(handle uint64) value { return value{kind: kindPayload, int: int64(handle)} }

func null(k kind) value { return value{kind: k, null: true} }

// textOrNull is NULL for an empty text.
func textOrNull(s string) value {
	if s == "" {
		return null(kindText)
	}
	return text(s)
}

// cell is one column of a result, as its type's output function writes it.
type cell struct {
	text string
	null bool
}

// database is Postgres as reached through SPI. Its functions return errParked
// when Postgres raised an error.
type database interface {
	prepare(sql string, kinds []kind) (plan int64, err error)
	execute(plan int64, values []value, see snapshot) (rows [][]cell, err error)
}

// statement is a SQL text with the types of its values. $SCHEMA in it is the
// extension's schema; operators and functions are qualified, since the caller's
// search_path is in force.
type statement struct {
	sql   string
	kinds []kind
	see   snapshot
}

// run executes a statement, prepared when first used and kept for the session.
func (e *engine) run(s *statement, values ...value) ([][]cell, error) {
	plan, ok := e.plans[s]
	if !ok {
		var err error
		if plan, err = e.db.prepare(strings.ReplaceAll(s.sql, "$SCHEMA", e.schema), s.kinds); err != nil {
			return nil, err
		}
		e.plans[s] = plan
	}
	return e.db.execute(plan, values, s.see)
}

// row is the only row of a result, or nil.
func (e *engine) row(s *statement, values ...value) ([]cell, error) {
	rows, err := e.run(s, values...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// scan reads a row's columns into pointers to string, bool, int32, int64; NULL
// leaves what is there.
func scan(row []cell, targets ...any) error {
	if len(row) != len(targets) {
		return bug("%d columns where %d were asked for", len(row), len(targets))
	}
	for i, target := range targets {
		if row[i].null {
			continue
		}
		var err error
		switch target := target.(type) {
		case *string:
			*target = row[i].text
		case *bool:
			*target = row[i].text == "t"
		default:
			_, err = fmt.Sscan(row[i].text, target)
		}
		if err != nil {
			return bug("column %d: %v", i+1, err)
		}
	}
	return nil
}
