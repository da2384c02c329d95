package main

import (
	"fmt"
	"strconv"
	"time"

	"rule_engine/test/endpoint"
)

const (
	// shared is how many events two workers share, and firstShared the first one's row.
	shared      = 60
	firstShared = 10
	// most is how many one worker sends at once, which keeps it from taking them all.
	most = 4
)

func (d *demo) startWorker(name string) error {
	w, err := d.StartWorker("CONSUMER_NAME="+name, fmt.Sprintf("BATCH_SIZE=%d", most))
	if err == nil {
		d.workers = append(d.workers, w)
	}
	return err
}

func (d *demo) share() error {
	d.title("A second worker takes its share: the endpoint takes 50 ms, and each sends four at once")
	// None is answered before both have begun, however late one of them is.
	both, arrived := make(chan struct{}), 0
	d.Endpoint.Respond(func(endpoint.Request) endpoint.Answer {
		if arrived++; arrived == most+1 {
			close(both)
		}
		return endpoint.Answer{Delay: 50 * time.Millisecond, Until: both}
	})
	if err := d.startWorker("worker-2"); err != nil {
		return err
	}
	_, err := d.until(many(2), d.admin, "SELECT consumer_name, queue_group, active FROM rule_nats_consumer_stats ORDER BY consumer_name;")
	if err != nil {
		return err
	}
	_, err = d.sql(d.application, fmt.Sprintf("INSERT INTO orders (item) SELECT 'cup ' || n FROM generate_series(1, %d) n;", shared))
	if err != nil {
		return err
	}
	var ids []string
	for n := range shared {
		ids = append(ids, fmt.Sprintf("order-%d", firstShared+n))
	}
	requests, err := d.arrived(ids...)
	if err != nil {
		return err
	}
	d.line("  arrived: order-%d to order-%d, signatures verified, in %d ms", firstShared, firstShared+shared-1,
		requests[shared-1].At.Sub(requests[0].At).Milliseconds())
	all := func(rows [][]string) bool {
		sum := 0
		for _, row := range rows {
			n, _ := strconv.Atoi(row[1])
			sum += n
		}
		return len(rows) == 2 && sum == shared
	}
	_, err = d.until(all, d.admin, fmt.Sprintf(`SELECT worker, count(*) FROM rule_webhook_attempts
WHERE substr(message_id, 7)::int >= %d GROUP BY worker ORDER BY worker;`, firstShared))
	return err
}
