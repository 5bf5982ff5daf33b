// Package payload keeps large payloads beside the channel: the event carries a reference
// (a claim check), and handlers get it whole.
//
//	check := payload.New(redisstore.NewPayloads(client, redisstore.PayloadConfig{}), payload.Config{})
//	b := bus.New(bus.Config{Channel: ch, Transforms: []event.Transform{check.Transform}, Inner: []event.Middleware{check}})
//
// A payload of more than [Config].Above bytes is put into the [Store] before its event is
// sent. The event has no data then, but the extension dataref, as CloudEvents documents it,
// with the payload's name in the store, and datadigest with its SHA-256. On the way in the
// data is fetched before the event is decoded, and compared with the digest. What the store
// has is what was published: an event that is sent again puts the same bytes under the
// same name.
//
// # How long
//
// Other groups may still need a payload when one has handled its event, and it may be driven
// again from the dead letters. So nothing is deleted by handling: payloads expire, after
// [Config].Keep at the earliest. A channel that can bring an event again after that is
// refused at start. A payload that was put and whose event was never sent expires too.
//
// # When it isn't there
//
// While the store doesn't answer, an event is postponed, which is no failure of it. One whose
// payload is gone, or isn't what was put, becomes a dead letter at once ([ErrGone],
// [ErrDigest]).
package payload
