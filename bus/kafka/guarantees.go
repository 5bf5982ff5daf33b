package kafka

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// Guarantees implements [event.Channel]. MaxBytes and RedeliveryHorizon are read from
// the configuration of the topic; where the brokers don't let us ask, MaxBytes is that
// of a broker that nobody configured.
func (ch *Channel) Guarantees(ctx context.Context, topic, group string) (_ event.Guarantees, err error) {
	ctx, leave := ch.doors.enter(ctx)
	defer func() { err = leave(err) }()
	adm, err := ch.admin()
	if err != nil {
		return event.Guarantees{}, err
	}
	g := event.Guarantees{
		Channel: "kafka", OrderPerKey: true, Durable: true, History: true, Parks: true, Positions: true,
		MaxBytes: defaultMaxMessage, MaxDelay: ch.cfg.MaxDelay, Lease: ch.cfg.SessionTimeout,
	}
	configs, err := configsOf(ctx, adm, topic)
	if err != nil && !denied(err) && !unknown(err) {
		return event.Guarantees{}, err
	}
	g.MaxBytes = number(configs["max.message.bytes"], defaultMaxMessage)
	if ms := number(configs["retention.ms"], -1); ms > 0 {
		g.RedeliveryHorizon = time.Duration(ms) * time.Millisecond
	}
	return g, nil
}
