// Package nats keeps a backend's connections to NATS and sends events over them.
//
// A Pool belongs to one configuration of one backend. Nothing in it blocks the
// caller: work goes to a goroutine that calls back when it has an outcome. A
// message's outcome is one of three: acknowledged, rejected (it is in no stream)
// or unknown (no answer came: it may be in the stream). What was reported as
// rejected is never sent afterwards.
package nats
