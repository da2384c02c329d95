package main

import (
	"bufio"
	"io"
)

// plainLinesAside gives a reader of the lines that are JSON objects and writes the others to other.
func plainLinesAside(from io.Reader, other io.Writer) io.Reader {
	objects, writer := io.Pipe()
	go func() {
		lines := bufio.NewReader(from)
		for {
			line, err := lines.ReadBytes('\n')
			to := other
			if len(line) > 0 && line[0] == '{' {
				to = writer
			}
			if _, failed := to.Write(line); err == nil {
				err = failed
			}
			if err != nil {
				writer.CloseWithError(err) // io.EOF at the end, as it should be
				return
			}
		}
	}()
	return objects
}
