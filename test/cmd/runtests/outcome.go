package main

// A status is how one test ended.
type status int

const (
	passed status = iota
	failed
	skipped
)

func (s status) String() string { return [...]string{"passed", "failed", "skipped"}[s] }

// An outcome is that of one test: a leaf among Go's tests, a regression test or an isolation spec.
type outcome struct {
	suite  string // rule_engine/nats, regress, isolation
	test   string // TestName/sub, or the file's name
	status status
	detail string // why it was skipped, or the log of its failure
}

func (o outcome) name() string { return o.suite + "/" + o.test }

// A tally counts outcomes.
type tally struct{ passed, failed, skipped int }

func count(outcomes []outcome) tally {
	var t tally
	for _, o := range outcomes {
		switch o.status {
		case passed:
			t.passed++
		case failed:
			t.failed++
		case skipped:
			t.skipped++
		}
	}
	return t
}
