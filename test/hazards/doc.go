// Package hazards shows that the Go runtime in a backend leaves Postgres as it was: a test for each
// way in which it would not. The tests run against the tree that PGROOT names.
//
// A test that passes says little unless it fails without the cure it watches over. So variants.go
// lists faulty builds, each with the test that must fail with it; `go test ./hazards -variants`
// (`make hazards`) builds them one after another and runs that test.
package hazards
