package main

import (
	"context"
	"time"
)

// outlive answers a context that ends some time after its parent did.
func outlive(parent context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	context.AfterFunc(parent, func() { time.AfterFunc(by, cancel) })
	return ctx, cancel
}
