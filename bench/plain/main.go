// plain is what the extension and the worker are compared with: the plainest Go that does the same.
//
//	plain publish NATS EVENT                      publishes for as long as each line of its input says
//	plain deliver N URL NATS STREAM GROUP         consumes a stream, posts each message, N at once, acks and waits for the answer
//	plain post N URL COUNT                        posts, N at once, and nothing else
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

var errUsage = errors.New("usage: plain publish NATS EVENT, plain deliver N URL NATS STREAM GROUP, or plain post N URL COUNT")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 3 && args[0] == "publish" {
		return publish(args[1], args[2])
	}
	if len(args) < 4 {
		return errUsage
	}
	atOnce, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	to := newPoster(args[2], atOnce)
	switch {
	case len(args) == 6 && args[0] == "deliver":
		return deliver(to, args[3], args[4], args[5])
	case len(args) == 4 && args[0] == "post":
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return to.postMany(count)
	}
	return errUsage
}
