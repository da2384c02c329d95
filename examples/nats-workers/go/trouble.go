package main

import (
	"crypto/tls"
	"errors"
	"regexp"
)

// quoted is all from the first to the last quote: what an endpoint sends may have some of its own.
var quoted = regexp.MustCompile(`".*"`)

// trouble is what an error of a try says, without what it quotes. net/http quotes what it cannot read of an answer,
// where an endpoint may say again what it was sent, the payload or the path of its URL. Of certificates all is shown:
// they come before an endpoint is sent anything.
func trouble(err error) string {
	text := oneLine(err.Error())
	if certificate := (*tls.CertificateVerificationError)(nil); errors.As(err, &certificate) {
		return text
	}
	return quoted.ReplaceAllLiteralString(text, `"..."`)
}
