package program

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Node is the program that scripts/need node has found or fetched.
func Node() (string, error) {
	output, err := exec.Command(filepath.Join(Repository(), "scripts", "node"), "--find").Output()
	if err != nil {
		return "", fmt.Errorf("no Node.js 20 here: scripts/need node fetches it: %w", err)
	}
	return string(output), nil
}
