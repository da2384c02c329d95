package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"rule_engine/bench/publisher"
)

// publish publishes over one connection. Each line of its input is for how long, and it answers with
// how many messages that came to.
func publish(url, described string) error {
	var event publisher.Event
	if err := json.Unmarshal([]byte(described), &event); err != nil {
		return err
	}
	p, err := publisher.New(url, event)
	if err != nil {
		return err
	}
	defer p.Close()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		length, err := time.ParseDuration(lines.Text())
		if err != nil {
			return err
		}
		n, err := p.Work(context.Background(), time.Now().Add(length))
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	return lines.Err()
}
