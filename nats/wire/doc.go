// Package wire holds what publisher and worker must agree on: the names of a
// message's headers, how its ids are made, and which ids and subjects are
// taken at all.
//
// The body of a message is the event's payload and nothing else. All that a
// worker needs besides travels in headers. URLs, tokens and signing secrets
// never do: a worker learns them from the database by the webhook's id, so
// nobody who can write to the stream can choose where an event goes.
//
// test/golden/wire.json says the same for other languages, and this package's
// tests hold the two together.
package wire
