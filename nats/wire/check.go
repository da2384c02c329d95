package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxBytes = 255

// CheckMessageID tells whether an event may have this id: it must come out of
// a header as it went in.
func CheckMessageID(id string) error {
	if err := checkText(id); err != nil {
		return err
	}
	first, _ := utf8.DecodeRuneInString(id)
	last, _ := utf8.DecodeLastRuneInString(id)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return ErrOuterSpace
	}
	return nil
}

// CheckSubject tells whether an event may be published to this subject. The
// client library and the server let most of these through.
func CheckSubject(subject string) error {
	if err := checkText(subject); err != nil {
		return err
	}
	switch {
	case strings.IndexFunc(subject, unicode.IsSpace) >= 0:
		return ErrSpace
	case strings.ContainsAny(subject, "*>"):
		return ErrWildcard
	case subject[0] == '.', subject[len(subject)-1] == '.', strings.Contains(subject, ".."):
		return ErrEmptyToken
	case subject[0] == '$':
		return ErrReserved
	}
	return nil
}

func checkText(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > maxBytes:
		return ErrTooLong
	case !utf8.ValidString(s):
		return ErrEncoding
	case strings.IndexFunc(s, unicode.IsControl) >= 0:
		return ErrControl
	}
	return nil
}
