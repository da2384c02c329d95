package main

import (
	"errors"
	"fmt"
)

// sqlError is a mistake of the caller, raised as an ERROR by C.
type sqlError struct {
	state   string
	message string
	detail  string
	hint    string
}

func (e *sqlError) Error() string { return e.message }

// errParked is returned when C keeps an error of Postgres: nothing of the
// database can be reached until C has raised it.
var errParked = errors.New("an error of Postgres is parked")

// SQLSTATEs (PostgreSQL documentation, appendix A).
const (
	stateNull            = "22004" // null_value_not_allowed
	stateInvalid         = "22023" // invalid_parameter_value
	stateUndefined       = "42704" // undefined_object
	statePrerequisite    = "55000" // object_not_in_prerequisite_state
	stateLimit           = "54000" // program_limit_exceeded
	stateFull            = "53400" // configuration_limit_exceeded
	stateConnection      = "08000" // connection_exception
	stateInternal        = "XX000" // internal_error
	hintReport           = "This is a bug of rule_engine: please report it with this message."
	hintRegisteredBefore = "rule_webhook_list() shows the webhooks there are."
)

func mistake(state, hint, format string, args ...any) *sqlError {
	return &sqlError{state: state, message: fmt.Sprintf(format, args...), hint: hint}
}

// bug is an ERROR for what must not happen.
func bug(format string, args ...any) *sqlError {
	return mistake(stateInternal, hintReport, "rule_engine: "+format, args...)
}
