package nats

import (
	"context"
	"sync"
)

// asking are the requests under way. The server answers none that the account
// may not make, so that they would wait out their time.
type asking struct {
	mu     sync.Mutex
	last   int
	cancel map[int]context.CancelCauseFunc
}

// begin answers a context for a request, which ends when the server denies it,
// and a function to call when it has ended.
func (a *asking) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	number := a.last
	if a.cancel == nil {
		a.cancel = make(map[int]context.CancelCauseFunc)
	}
	a.cancel[number] = cancel
	return ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.cancel, number)
		cancel(nil)
	}
}

// denied ends all: which of them it was, JetStream's subjects do not say.
func (a *asking) denied(why *deniedError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, cancel := range a.cancel {
		cancel(why)
	}
}

// ask makes a request of NATS within ctx.
func (l *link) ask(ctx context.Context, request func(context.Context) error) error {
	ctx, end := l.asking.begin(ctx)
	defer end()
	err := request(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}
