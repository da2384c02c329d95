package postgres

import (
	"os"
	"strings"
)

// LogText is all that the server has logged.
func (c *Cluster) LogText() string {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return ""
	}
	return string(text)
}

// LogTail is the end of it.
func (c *Cluster) LogTail(lines int) string {
	all := strings.Split(strings.TrimRight(c.LogText(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
