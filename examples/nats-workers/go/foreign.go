package main

import (
	"context"
	"log/slog"
	"strings"
)

// foreign is where package log writes to, which libraries take. net/http quotes there what an endpoint sent when nobody asked.
type foreign struct{}

func (foreign) Write(line []byte) (int, error) {
	level := slog.LevelInfo
	text, _, unsolicited := strings.Cut(oneLine(string(line)), " starting with ")
	if unsolicited {
		level = slog.LevelDebug // an endpoint could fill the log with it
	}
	slog.Log(context.Background(), level, quoted.ReplaceAllLiteralString(text, `"..."`))
	return len(line), nil
}
