package main

import "time"

const (
	// tooMany is what admit says of a message for which the server has no room for locks now.
	tooMany = "too many at once"
	// beingTaken is what it says of one whose event another call has.
	beingTaken = "another worker is taking it"
	// away is what it says of one that has to wait for its endpoint's breaker.
	away = "its endpoint is away"
	// stillOpen is what it says of one whose transaction has not ended.
	stillOpen = "its transaction is in progress"
	// unsettledFor bounds how long a message is kept for such answers.
	unsettledFor = 2 * time.Minute
)

// unsettled says that the message is to be kept, and asked about again. To give it
// back and get it anew costs more than to judge it, where there are too many. And
// where a call was not answered, that may be the one that has the event: what it
// leases is this process' own, and only who asks again is told. Given back, the
// message would go to another process, and the lease would have to run out.
func (v verdict) unsettled() bool {
	return v.verdict == "wait" && (v.reason == tooMany || v.repeated && v.reason == beingTaken)
}

// blocks says that others wait behind the messages of the webhook: its endpoint does not take this one now.
func (v verdict) blocks() bool {
	return v.verdict == "queued" && v.reason != stillOpen || v.verdict == "wait" && v.reason == away
}

// judge asks the database what to do with a message. An event that takes long
// frees its slot, unless it is aside. unsent is called where it is not for its endpoint now.
func (w *worker) judge(e *event, m message, aside bool, unsent, free func()) (verdict, error) {
	v, err := w.ask(e, &m)
	if err != nil || !v.unsettled() {
		return v, err
	}
	unsent()
	if !aside {
		defer w.siding.shunt(len(e.body), free)()
	}
	for end := time.Now().Add(unsettledFor); err == nil && v.unsettled() && time.Now().Before(end); {
		if v.repeated {
			err = sleep(w.asking, v.wait)
		} else if sleep(w.taking, v.wait) != nil {
			// Nothing of it is leased: another process can have it at once.
			return v, nil
		}
		if err == nil {
			m.Repeated = v.repeated
			if md, wrong := e.msg.Metadata(); wrong == nil {
				m.AgeMS = w.age(md)
			}
			v, err = w.ask(e, &m)
		}
	}
	return v, err
}

// ask asks once, and once more with the payload where the answer wants it.
func (w *worker) ask(e *event, m *message) (verdict, error) {
	admits := w.admits
	switch {
	case e.early():
		admits = w.early
	case m.Overflow:
		admits = w.overflow
	}
	v, err := admits.ask(w.asking, *m)
	if err == nil && v.verdict == "payload" && m.Payload == nil {
		m.Payload, m.Repeated = encoded(e.body), v.repeated
		v, err = admits.ask(w.asking, *m)
	}
	return v, err
}
