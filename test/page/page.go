// Package page reads the code blocks of the repository's pages, so that tests run what a page shows.
package page

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"rule_engine/test/program"
)

var errNoBlock = errors.New("the page shows no such block")

// A Block is one fenced block of code.
type Block struct {
	Heading string // the last one before it
	Code    string
}

// Blocks are a page's blocks in a language, in their order.
func Blocks(path, language string) ([]Block, error) {
	text, err := os.ReadFile(filepath.Join(program.Repository(), path))
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var heading, fence string
	for line := range strings.Lines(string(text)) {
		mark, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case isFence && fence == "":
			fence = "of " + mark
			if mark == language {
				blocks = append(blocks, Block{Heading: heading})
			}
		case isFence:
			fence = ""
		case fence == "of "+language:
			blocks[len(blocks)-1].Code += line
		case fence == "" && strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if len(blocks) == 0 {
		return nil, errNoBlock
	}
	return blocks, nil
}
