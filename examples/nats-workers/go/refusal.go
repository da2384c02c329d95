package main

import (
	"crypto/x509"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// refusal answers the configuration error that a failed first call proves, or nil.
func (c *config) refusal(err error) error {
	var connecting *pgconn.ConnectError
	var pg *pgconn.PgError
	var authority x509.UnknownAuthorityError
	connected := !errors.As(err, &connecting)
	switch {
	case errors.As(err, &pg):
		return c.refusedBy(pg, connected)
	case errors.As(err, &authority):
		return wrong("DATABASE_URL", "the server's certificate is signed by nobody we know (%v); sslrootcert names the authorities", authority)
	case !connected && withoutTLS(connecting.Unwrap()):
		return wrong("DATABASE_URL", "asks for TLS, and the server has none; see sslmode")
	}
	return nil
}

func (c *config) refusedBy(pg *pgconn.PgError, connected bool) error {
	switch code := pg.Code; {
	case connected && code == "42501":
		return wrong("DATABASE_URL", "names a role without rights (%s); grant it rule_engine_worker", pg.Message)
	case connected && code == "25001":
		return wrong("DATABASE_URL", "leads to sessions that work otherwise (%s); ALTER ROLE ... SET default_transaction_isolation = 'read committed' mends it", pg.Message)
	case connected:
		return nil
	case strings.HasPrefix(code, "28"), code == "3D000", code == "42501":
		return wrong("DATABASE_URL", "is refused by the server: %s", pg.Message)
	case code == "42704", code == "22023", code == "55P02", code == "42601", strings.HasPrefix(pg.Message, poolerRefuses):
		// Of a password among the parameters what stands behind a space or a & is one, too.
		if c.passwordAmongParameters {
			return wrong("DATABASE_URL", "has a parameter that the server does not take (SQLSTATE %s)", code)
		}
		return wrong("DATABASE_URL", "has a parameter that the server does not take: %s", pg.Message)
	}
	return nil
}

// poolerRefuses is how pgbouncer begins: its SQLSTATE, 08P01, says nothing.
const poolerRefuses = "unsupported startup parameter"

// withoutTLS tells whether each of the addresses tried was one without TLS. pgx
// has no other error for it than these words, and with sslmode=prefer it
// goes on without.
func withoutTLS(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			if !withoutTLS(err) {
				return false
			}
		}
		return true
	}
	return strings.HasSuffix(err.Error(), "server refused TLS connection")
}
