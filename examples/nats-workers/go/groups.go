package main

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// checkGroups refuses a SUBJECT that overlaps with an older group's. Of a work
// queue NATS sees to that; of any other stream each group would get the events
// that both name. Where consumers may not be listed nothing is refused.
func (w *worker) checkGroups(stream jetstream.Stream) error {
	ctx, cancel := context.WithTimeout(w.taking, apiWait)
	defer cancel()
	ctx, done := w.link.denials.heed(ctx, "$JS.API.CONSUMER.LIST.")
	defer done()
	var mine *jetstream.ConsumerInfo
	var others []*jetstream.ConsumerInfo
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Name == w.cfg.group {
			mine = info
		} else if w.cfg.sharesWith(info.Config) {
			others = append(others, info)
		}
	}
	if err := orDenial(ctx, list.Err()); err != nil {
		w.nats.say("cannot look for groups that overlap", err.Error(), "stream", w.cfg.stream)
		return nil
	}
	for _, other := range others {
		// The younger one is refused, so that neither keeps the other from starting again.
		if mine == nil || other.Created.Before(mine.Created) {
			return wrong("SUBJECT", "is %q, which overlaps with %q of the group %s on the stream %s; take another part, or delete the consumer %s when nobody uses it",
				w.cfg.subject, other.Config.FilterSubject, other.Name, w.cfg.stream, other.Name)
		}
	}
	return nil
}

// checkGroupsAgain is for a group that began at the same moment: when this one looked, it had no
// consumer yet. Now both have one, or the other will see this one's. A consumer that this process
// made for nothing goes again: it would keep what the other group takes, and the subject.
func (w *worker) checkGroupsAgain(stream jetstream.Stream, made bool) error {
	err := w.checkGroups(stream)
	if err == nil || !made {
		return err
	}
	ctx, cancel := context.WithTimeout(w.taking, apiWait)
	defer cancel()
	ctx, done := w.link.denials.heed(ctx, "$JS.API.CONSUMER.DELETE.")
	defer done()
	_ = stream.DeleteConsumer(ctx, w.cfg.group)
	return err
}

// sharesWith tells whether a consumer is a group's, by what workers make it like,
// and gets some of the messages that this group gets.
func (c *config) sharesWith(have jetstream.ConsumerConfig) bool {
	want := c.consumerConfig()
	want.FilterSubject = have.FilterSubject
	field, _ := difference(want, have)
	return have.Durable != "" && have.FilterSubject != "" && field == "" &&
		matchesAny(c.subject, []string{have.FilterSubject})
}
