package nats

import (
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nkeys"
)

// checkCredentials tells early, and by the setting's name, what the client would
// find out while connecting. It shows nothing of what the file holds.
func checkCredentials(file string) error {
	if file == "" {
		return fmt.Errorf("auth_credentials_file is not set")
	}
	held, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("auth_credentials_file: %w", err)
	}
	// What is not decorated comes back as it is.
	if token, err := nkeys.ParseDecoratedJWT(held); err != nil || strings.Count(token, ".") != 2 {
		return fmt.Errorf("auth_credentials_file: no user JWT in %s", file)
	}
	if _, err := nkeys.ParseDecoratedUserNKey(held); err != nil {
		return fmt.Errorf("auth_credentials_file: no seed of a user in %s", file)
	}
	return nil
}
