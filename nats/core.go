package nats

import (
	"time"

	"github.com/nats-io/nats.go"
)

// publishCore is for a configuration without JetStream: an answered PING after
// the messages says that the server has read them.
func (s *sending) publishCore() {
	if !s.begin(0) {
		return
	}
	conn := s.link.Load().conn
	before := conn.LastError()
	handed := make([]bool, len(s.messages))
	for i, m := range s.messages {
		err := conn.PublishMsg(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			s.settle(i, s.notHanded(&s.messages[i], err))
			continue
		}
		handed[i] = true
	}
	err := conn.FlushTimeout(time.Until(s.deadline))
	// What the server denied it says before its PONG.
	var denied *deniedError
	if last := conn.LastError(); last != before {
		denied = denial(last)
	}
	for i := range s.messages {
		switch {
		case !handed[i]:
		case denied != nil && denied.publish && denied.subject == s.messages[i].Subject:
			s.settle(i, rejected(CodeDenied, "%s", denied))
		case err != nil:
			s.settle(i, afterSend(err, s.messages[i].Subject))
		default:
			s.settle(i, Outcome{Kind: Acked})
		}
	}
}
