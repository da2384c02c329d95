// Package endpoint is the receiver of webhooks in tests: a real HTTP server on loopback that keeps
// every request, checks its Standard Webhooks signature and answers as the test says.
package endpoint
