// Package main is the Go library of the extension, linked as a c-archive.
//
// The way of a publish: exports.go takes the C values in and recovers from
// panics; send.go is the story of an event, before the wait and after it;
// webhook.go knows what the event needs to know, from a cache that C
// invalidates; history.go and queue.go write rows through database.go, which is
// SPI seen from here. Other entries have a file each: health.go, streams.go.
//
// Everything but the goroutines that package nats starts runs on the backend's
// own thread, one entry at a time, so nothing here is locked.
package main

func main() {}
