package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints a Markdown table that is readable as it stands.
func table(out io.Writer, head []string, rows [][]string) {
	widths := make([]int, len(head))
	for i := range widths {
		widths[i] = 3 // as many dashes as every reader of Markdown takes for a table
	}
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(out, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(out, "|")
	}
	line(head)
	for i := range head {
		fmt.Fprintf(out, "| %s ", strings.Repeat("-", widths[i]))
	}
	fmt.Fprintln(out, "|")
	for _, row := range rows {
		line(row)
	}
}

func heading(out io.Writer, text string) { fmt.Fprintf(out, "\n### %s\n\n", text) }
