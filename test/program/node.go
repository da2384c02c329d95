package program

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Node is the path of a Node.js that is new enough.
func Node() (string, error) {
	output, err := exec.Command(filepath.Join(Repository(), "scripts", "node"), "--find").Output()
	if err != nil {
		return "", fmt.Errorf("no Node.js here that is new enough; scripts/need node fetches one: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}
