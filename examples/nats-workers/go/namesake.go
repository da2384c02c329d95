package main

import "sync/atomic"

// namesake knows of another process that lives under this one's CONSUMER_NAME.
// Postgres takes the two for one: what it has leased to either is both's to renew, report and give back.
type namesake struct {
	instance int64 // tells this process from others of its name
	heard    int64 // when Postgres last heard this one, in ms by its clock; 0: never, or an older version
	said     bool
	lives    atomic.Bool // or has lived: it may still have something in hand
}

// look is told what a heartbeat was answered and tells whether another one lives.
// That takes two in a row: the last words of a process that was killed can be late.
func (n *namesake) look(answer losses) bool {
	lives := answer.Namesake && n.said
	n.said, n.heard = answer.Namesake, answer.NowMS
	if lives {
		n.lives.Store(true)
	}
	return lives
}
