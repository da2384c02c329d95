package main

import (
	"errors"
	"fmt"

	"rule_engine/nats"
)

// call is what C knows about one call of a SQL function.
type call struct {
	schema        string
	caller        string
	inTrigger     bool
	table         string // whose trigger publishes; empty when none of ours does
	administrator bool
	transaction   uint64
	generation    uint64
	traceparent   string // the session's; empty when it has none
}

// operation is what waits while its backend does: answers says how far it is.
type operation interface {
	// answers is called on the backend's thread each time that something was
	// signalled: the answers, or nil to wait again.
	answers(e *engine, c call) ([]string, error)
}

// engine is this backend's state.
type engine struct {
	db database
	// wake signals C, from any goroutine.
	wake func()
	// client is the name of our connections in NATS.
	client      string
	databaseOID uint32
	// outages are empty where the library was not preloaded.
	outages outages

	schema string
	// plans are the prepared statements; a plan belongs to a schema.
	plans      map[*statement]int64
	generation uint64
	cache      cache
	pools      map[int32]*nats.Pool
	looks      looks

	operations map[int64]operation
	lastNumber int64
}

func newEngine(db database, wake func(), name string, pid int32, oid uint32, shared outages) *engine {
	return &engine{
		db:          db,
		wake:        wake,
		client:      fmt.Sprintf("rule_engine %s pid %d", name, pid),
		databaseOID: oid,
		outages:     shared,
		pools:       make(map[int32]*nats.Pool),
		operations:  make(map[int64]operation),
	}
}

// enter begins each entry: what may have changed since the last is forgotten,
// and the connections of configurations that are gone or disabled are closed.
func (e *engine) enter(c call) error {
	if e.schema != c.schema {
		e.schema = c.schema
		e.plans = make(map[*statement]int64)
		e.generation = 0
	}
	if e.generation == c.generation {
		return nil
	}
	e.generation = c.generation
	e.cache = cache{}
	for id, pool := range e.pools {
		config, err := e.config(id)
		if errors.Is(err, errParked) {
			return err
		}
		if err != nil || !config.enabled {
			pool.Close()
			delete(e.pools, id)
		}
	}
	return nil
}

// start answers an operation at once when it can, or numbers it.
func (e *engine) start(c call, op operation) ([]string, int64, error) {
	answers, err := op.answers(e, c)
	if answers != nil || err != nil {
		return answers, 0, err
	}
	e.lastNumber++
	e.operations[e.lastNumber] = op
	return nil, e.lastNumber, nil
}

func (e *engine) step(c call, number int64) ([]string, error) {
	op, ok := e.operations[number]
	if !ok {
		return nil, bug("no operation %d", number)
	}
	// Gone before it is asked, so that a panic leaves nothing behind.
	delete(e.operations, number)
	answers, err := op.answers(e, c)
	if answers == nil && err == nil {
		e.operations[number] = op
	}
	return answers, err
}

// forget drops an operation whose caller was cancelled. What it sent may have
// arrived: the transaction id that it carries tells what became of it.
func (e *engine) forget(number int64) {
	delete(e.operations, number)
}
