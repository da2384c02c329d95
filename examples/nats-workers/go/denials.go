package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// denials ends waits for answers that will not come. What an account may not
// publish or ask the server says beside its answers, with the subject.
type denials struct {
	mu      sync.Mutex
	waiting map[*heed]struct{}
}

type heed struct {
	subject string
	end     context.CancelCauseFunc
}

// heed answers a context that ends, with the server's words as its cause, when a
// publish to the subject is denied, or to one below it where it ends in a dot.
func (d *denials) heed(ctx context.Context, subject string) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	h := &heed{subject, end}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[*heed]struct{}{}
	}
	d.waiting[h] = struct{}{}
	return ctx, func() {
		end(nil)
		d.mu.Lock()
		delete(d.waiting, h)
		d.mu.Unlock()
	}
}

// denied tells whether the error is one that somebody waited for.
func (d *denials) denied(err error) bool {
	_, rest, ok := strings.Cut(err.Error(), `Publish to "`)
	if !ok || !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	subject, _, _ := strings.Cut(rest, `"`)
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for h := range d.waiting {
		if subject == h.subject || strings.HasSuffix(h.subject, ".") && strings.HasPrefix(subject, h.subject) {
			h.end(err)
			found = true
		}
	}
	return found
}

// orDenial answers what the server has said in place of the error that ctx ended with.
func orDenial(ctx context.Context, err error) error {
	if why := context.Cause(ctx); err != nil && errors.Is(why, nats.ErrPermissionViolation) {
		return why
	}
	return err
}
