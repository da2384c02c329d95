package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnErrorSaysWhatIsWrongWithAnAnswerAndNotWhatItSays(t *testing.T) {
	for answer, says := range map[string]string{
		"hunter2":               `malformed HTTP response "..."`,
		"HTTP/1.1 /a?k=hunter2": `malformed HTTP status code "..."`,
		"HTTP/1.1 200 OK\r\n{\"c\": \"hunter2\"}":                               `malformed MIME header line: "..."`,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: hunter2":       `multiple Content-Length headers; got ["..."]`,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\"hunter2\"": `status 200, but the answer broke off: malformed MIME header: missing colon: "..."`,
	} {
		t.Run(says, func(t *testing.T) {
			url := tcpServer(t, func(c net.Conn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(c, answer+"\r\n\r\n")
			})
			o := try(t, newSender(1, loopback, nil), to(url))
			require.Equal(t, "failed", o.result)
			require.Contains(t, o.err, says)
			require.NotContains(t, o.err, "hunter2")
		})
	}
}

func TestAnErrorSaysWhichCertificateIsWrong(t *testing.T) {
	err := fmt.Errorf("x: %w", &tls.CertificateVerificationError{Err: errors.Join(errors.New(`from "My CA"`), x509.UnknownAuthorityError{})})
	require.Contains(t, trouble(err), `from "My CA"`)
}
