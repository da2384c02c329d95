// Webhook-worker delivers the events of rule_engine over HTTP.
//
// The database decides, the worker carries. Every rule of an event's life
// (what may be sent, when it is tried again, when it is dead, what rolled
// back) stands behind a handful of functions of the extension; the worker
// touches no table. It does two things:
//
//	stream: fetch a message, ask admit, send, report, and only then ack,
//	        nak or drop it as the report's verdict says   (carry.go);
//	        behind a backlog of a few webhooks, the same for
//	        messages that are read before their turn      (ahead.go)
//	queue:  claim rows, send or publish, report            (queue.go),
//	        woken when there are some                      (listen.go)
//
// The words used here:
//
//	event    one payload for one webhook, from a message or from a row
//	try      one HTTP request for an event, at most one on the wire
//	lease    the time within which this process alone may send an event
//	slot     the right to hold one event that has not been sent yet
//	window   how many requests to one endpoint may be under way
//	in hand  taken for its endpoint, within twice its window
//	verdict  what the database says about an event
//
// Three contexts end a process in order. After SIGTERM nothing new is taken
// ("taking"), what is being sent may go on for a while ("sending"), and a
// little longer what became of it is written down ("telling").
package main
