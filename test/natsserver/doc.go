// Package natsserver runs NATS servers with JetStream for tests, on a free loopback port, with the
// store in a temporary folder: within this process (up in milliseconds), or as a process of its own,
// where a test must kill or freeze it. Either can be stopped and started again on the same port with
// the same store.
package natsserver
