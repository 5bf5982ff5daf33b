// Package bustest runs the handlers of an application in tests: on the memory
// channel, in virtual time, with a recorder of everything that was published and
// attempted.
//
//	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
//		mailer.Register(b.Bus, &fakeSMTP{failFirst: 3})
//		b.Publish(OrderPlaced{ID: "42"})
//		b.Settle() // an hour of retries passes in no time
//		bustest.Want(b, MailSent{Order: "42"})
//	})
//
// [Run] makes a bubble of testing/synctest: time moves when everything waits, so a
// test of retries over hours takes milliseconds. In a bubble t.Run, t.Parallel and
// connections to real servers are not possible; [RealTime] runs without. The
// memory channel encodes and decodes every event, so that nothing reaches a
// handler that would not survive a broker.
package bustest
