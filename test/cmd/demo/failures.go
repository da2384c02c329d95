package main

import (
	"fmt"

	"rule_engine/test/endpoint"
)

func (d *demo) recover() error {
	d.title("The endpoint fails twice and recovers: the event is tried again, each time after twice as long")
	d.Endpoint.Script(endpoint.Answer{Status: 503}, endpoint.Answer{Status: 503}, endpoint.Answer{})
	if _, err := d.sql(d.admin, "UPDATE rule_webhooks SET retry_delay_ms = 200, max_retries = 1;"); err != nil {
		return err
	}
	if _, err := d.sql(d.application, "INSERT INTO orders (item) VALUES ('shelf');"); err != nil {
		return err
	}
	return d.arrive("order-7", "order-7", "order-7")
}

func (d *demo) redeliver() error {
	d.title("It refuses an event: a dead letter, which is redelivered when the endpoint has been mended")
	d.Endpoint.Script(endpoint.Answer{Status: 400, Body: "what is a rug?"})
	if _, err := d.sql(d.application, "INSERT INTO orders (item) VALUES ('rug');"); err != nil {
		return err
	}
	if err := d.arrive("order-8", "order-8"); err != nil {
		return err
	}
	_, err := d.until(these([]string{"order-8", "2", "400", "what is a rug?"}), d.admin,
		"SELECT message_id, retry_count, response_status, last_answer FROM rule_webhook_dead_letters;")
	if err != nil {
		return err
	}
	d.Endpoint.Script(endpoint.Answer{})
	if _, err := d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_redeliver(p_webhook_id => %d);", d.webhook)); err != nil {
		return err
	}
	return d.arrive("order-8")
}

func (d *demo) hold() error {
	d.title("It is held: the INSERT goes on, the event waits, and goes when it is resumed")
	if _, err := d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_hold(%d, 'they move house');", d.webhook)); err != nil {
		return err
	}
	if _, err := d.sql(d.application, "INSERT INTO orders (item) VALUES ('clock');"); err != nil {
		return err
	}
	_, err := d.until(these([]string{"order-9", "held"}), d.admin,
		"SELECT message_id, reason FROM rule_webhook_undelivered() WHERE queue_id IS NOT NULL;")
	if err != nil {
		return err
	}
	if _, err := d.sql(d.admin, fmt.Sprintf("SELECT rule_webhook_resume(%d);", d.webhook)); err != nil {
		return err
	}
	return d.arrive("order-9")
}
