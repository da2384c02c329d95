// Package traffic is sessions that publish without a pause while a test does harm to what they stand
// on, and the audit afterwards: what committed has been delivered, once, and what rolled back has not.
package traffic
