package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// deliver goes on until it is killed.
func deliver(to *poster, url, stream, group string) error {
	ctx := context.Background()
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: group, FilterSubject: "webhooks.>", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(to.atOnce))
	if err != nil {
		return err
	}
	defer messages.Stop()
	free := make(chan struct{}, to.atOnce)
	for {
		free <- struct{}{}
		message, err := messages.Next()
		if err != nil {
			return err
		}
		go func() {
			defer func() { <-free }()
			err := to.post(message.Data())
			if err == nil {
				err = message.DoubleAck(ctx)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "plain:", err)
				_ = message.Nak()
			}
		}()
	}
}
