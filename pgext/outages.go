package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"rule_engine/nats"
)

// outages is what the sessions of a server tell each other about outages of NATS,
// in memory that they share: one word for each configuration's place, found by a
// hash. A word is read and written at once, so that a backend which ends at any
// moment leaves nothing half done and no lock taken; and whatever stands in it
// is forgotten after twice outageCounts.
//
// Two configurations in one place push each other out: then a session finds out
// for itself, as without the table.
type outages []atomic.Uint64

// A word is a tag of the configuration, what was told, and a time in milliseconds:
// until when nobody need try, or since when it stands. The clock is the machine's,
// which all share.
const (
	tagShift  = 40
	toldShift = 36
	toldMask  = 1<<(tagShift-toldShift) - 1
	timeMask  = 1<<toldShift - 1
)

// outageCounts is the longest pause, and how long after it is over an outage is
// still taken for one.
const outageCounts = time.Minute

// of is the outage of a configuration as it is now: of one that was changed
// nothing is known.
func (o outages) of(database uint32, c *configuration) (nats.Outage, error) {
	if len(o) == 0 {
		return nil, nil
	}
	settings, err := json.Marshal(c.Config)
	if err != nil {
		return nil, bug("configuration: %v", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", database, c.id, settings))
	return &outage{
		word: &o[binary.BigEndian.Uint32(sum[:])%uint32(len(o))],
		tag:  uint64(binary.BigEndian.Uint32(sum[4:]) >> 8),
	}, nil
}

// outage is a configuration's place; it is a nats.Outage.
type outage struct {
	word *atomic.Uint64
	tag  uint64
}

func now() uint64 { return uint64(time.Now().UnixMilli()) & timeMask }

func (o *outage) pack(told nats.Told, at uint64) uint64 {
	return o.tag<<tagShift | uint64(told)<<toldShift | at&timeMask
}

func ahead(pause time.Duration) uint64 {
	return now() + uint64(min(pause, outageCounts).Milliseconds())
}

// Known answers what was told last.
func (o *outage) Known(lease time.Duration) (nats.Told, bool) {
	for {
		word := o.word.Load()
		told := nats.Told(word >> toldShift & toldMask)
		left := (word - now()) & timeMask
		past := (now() - word) & timeMask
		counts := uint64(outageCounts.Milliseconds())
		switch {
		case word>>tagShift != o.tag, told == nats.Nothing:
			return nats.Nothing, false
		case past <= counts && told == nats.Stands:
			return told, false
		case past <= counts && lease == 0:
			return told, false
		case past <= counts:
			if o.word.CompareAndSwap(word, o.pack(told, ahead(lease))) {
				return told, true
			}
		case left <= counts && told != nats.Stands:
			return told, false
		default:
			return nats.Nothing, false
		}
	}
}

// Away takes the place, whoever has it.
func (o *outage) Away(told nats.Told, pause time.Duration) {
	o.word.Store(o.pack(told, ahead(pause)))
}

// Back leaves the place of another configuration alone.
func (o *outage) Back() {
	for {
		word := o.word.Load()
		if word>>tagShift != o.tag || o.word.CompareAndSwap(word, o.pack(nats.Stands, now())) {
			return
		}
	}
}
