package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

func (d *demo) line(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) title(text string) { d.line("\n== %s", text) }

// sql runs a statement as one of the logins, prints it and what it gave, and returns the rows as text.
func (d *demo) sql(conn *pgx.Conn, statement string) ([][]string, error) {
	d.asked(conn, statement)
	names, rows, err := d.rows(conn, statement)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	d.table(names, rows)
	return rows, nil
}

func (d *demo) asked(conn *pgx.Conn, statement string) {
	d.line("  %s=> %s", conn.Config().User, strings.ReplaceAll(statement, "\n", "\n     "))
}

// until is sql for something that another process is about to do: it runs silently until that shows
// in the rows, and is printed then.
func (d *demo) until(done func(rows [][]string) bool, conn *pgx.Conn, statement string) ([][]string, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		names, rows, err := d.rows(conn, statement)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
		if done(rows) {
			d.asked(conn, statement)
			d.table(names, rows)
			return rows, nil
		}
		if time.Now().After(deadline) || d.ctx.Err() != nil {
			return nil, fmt.Errorf("%s: still %v", statement, rows)
		}
	}
}

// these says when the rows are so.
func these(want ...[]string) func([][]string) bool {
	return func(rows [][]string) bool { return slices.EqualFunc(rows, want, slices.Equal) }
}

// many says when there are so many rows.
func many(n int) func([][]string) bool {
	return func(rows [][]string) bool { return len(rows) == n }
}

// rows asks in text format, which is what a person sees.
func (d *demo) rows(conn *pgx.Conn, statement string) (names []string, rows [][]string, err error) {
	result := conn.PgConn().Exec(d.ctx, statement)
	defer result.Close()
	for result.NextResult() {
		reader := result.ResultReader()
		for _, field := range reader.FieldDescriptions() {
			names = append(names, field.Name)
		}
		for reader.NextRow() {
			var row []string
			for _, value := range reader.Values() {
				row = append(row, string(value))
			}
			rows = append(rows, row)
		}
	}
	return names, rows, result.Close()
}

// table prints rows below each other; one value stands alone.
func (d *demo) table(names []string, rows [][]string) {
	if len(names) == 0 {
		return
	}
	if len(names) == 1 && len(rows) == 1 {
		d.line("     %s", rows[0][0])
		return
	}
	widths := make([]int, len(names))
	for _, row := range append([][]string{names}, rows...) {
		for i, value := range row {
			widths[i] = max(widths[i], len(value))
		}
	}
	for _, row := range append([][]string{names}, rows...) {
		var cells []string
		for i, value := range row {
			cells = append(cells, fmt.Sprintf("%-*s", widths[i], value))
		}
		d.line("     %s", strings.TrimRight(strings.Join(cells, "  "), " "))
	}
}
