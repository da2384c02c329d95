package nats

import "strings"

// covers tells whether a stream with these subjects takes a message on subject.
func (s *Stream) covers(subject string) bool {
	for _, pattern := range s.Subjects {
		if matches(pattern, subject) {
			return true
		}
	}
	return false
}

// matches follows NATS' rules: '*' is one token, '>' at the end one or more.
func matches(pattern, subject string) bool {
	tokens := strings.Split(subject, ".")
	wanted := strings.Split(pattern, ".")
	for i, want := range wanted {
		if want == ">" && i == len(wanted)-1 {
			return len(tokens) > i
		}
		if i >= len(tokens) || (want != "*" && want != tokens[i]) {
			return false
		}
	}
	return len(tokens) == len(wanted)
}
