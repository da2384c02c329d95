package main

import "time"

const (
	// beingTaken and tooMany are what admit says of a message whose event it could not look at.
	beingTaken = "another worker is taking it"
	tooMany    = "too many at once"
	// underWay is how long a call that was not answered may go on, for as much as is waited for it.
	underWay = 2 * time.Minute
)

// unsettled says that the call that was not answered may still be under way. What it
// leases is this process' own, and only who asks again is told. Given back, the
// message would go to another process, and the lease would have to run out.
func (v verdict) unsettled() bool {
	return v.repeated && v.verdict == "wait" && (v.reason == beingTaken || v.reason == tooMany)
}

// judge asks the database what to do with a message. An event that takes long
// frees its slot.
func (w *worker) judge(e *event, m message, inHand bool, free func()) (verdict, error) {
	v, err := w.ask(e, &m)
	if err != nil || !v.unsettled() {
		return v, err
	}
	defer w.siding.shunt(free)()
	for end := time.Now().Add(underWay); err == nil && v.unsettled() && time.Now().Before(end); {
		if inHand {
			w.windows.unsent(e.webhookID)
		}
		if err = sleep(w.asking, v.wait); err == nil {
			m.Repeated = true
			v, err = w.ask(e, &m)
		}
	}
	return v, err
}

// ask asks once, and once more with the payload where the answer wants it.
func (w *worker) ask(e *event, m *message) (verdict, error) {
	admits := w.admits
	if e.early() {
		admits = w.early
	}
	v, err := admits.ask(w.asking, *m)
	if err == nil && v.verdict == "payload" && m.Payload == nil {
		m.Payload, m.Repeated = encoded(e.body), v.repeated
		v, err = admits.ask(w.asking, *m)
	}
	return v, err
}
