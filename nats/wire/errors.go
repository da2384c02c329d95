package wire

import "errors"

var (
	// ErrEmpty is returned when a message id or a subject is the empty string.
	ErrEmpty = errors.New("must not be empty")
	// ErrTooLong is returned when a message id or a subject has over 255 bytes.
	ErrTooLong = errors.New("must not be longer than 255 bytes")
	// ErrEncoding is returned when a message id or a subject is not UTF-8.
	ErrEncoding = errors.New("must be valid UTF-8")
	// ErrControl is returned when a message id or a subject has a control character.
	ErrControl = errors.New("must not contain control characters")
	// ErrOuterSpace is returned when a message id begins or ends with white space,
	// which clients strip from a header's value: another id would arrive.
	ErrOuterSpace = errors.New("must not begin or end with white space")
	// ErrSpace is returned when a subject has white space anywhere.
	ErrSpace = errors.New("must not contain white space")
	// ErrWildcard is returned when a subject has * or >, which JetStream would
	// store as they stand, where no subscriber expects them.
	ErrWildcard = errors.New("must not contain the wildcards * and >")
	// ErrEmptyToken is returned when a subject has a dot first, last or twice.
	ErrEmptyToken = errors.New("must not begin or end with a dot, nor have two in a row")
	// ErrReserved is returned when a subject begins with $, which is the server's.
	ErrReserved = errors.New("must not begin with $, which NATS keeps for itself")
)
