// Package bridgeredis is Redis Streams through Watermill's library (watermill-redisstream,
// on go-redis) as a leat channel: for services that have Redis and no other broker, or
// share streams with services on Watermill. It needs Redis 6.2 or later, or what speaks
// like it.
//
// # Groups
//
// A topic is a stream, and a group on it a consumer group of the same name. It is made
// before its first member joins, where it is told to begin. Each subscription of a member
// is a consumer with a name of its own, and has one event in hand: the library reads up
// to three ahead, which would wait behind the one in hand while other members are idle.
// Events come in order to a lone subscription; there is no order per key otherwise.
//
// Redis doesn't notice when a member vanishes. What is pending for long enough is claimed
// by another: after [Config].MaxHold and up to 10 s. So a living member can't have
// anything in hand for longer than MaxHold: its handler's context ends then, before
// anybody else has the event. What a member had in hand when it closed is claimed within
// 5 s, and at once by one that joins.
//
// A group that somebody removes, with its stream or without, is made again and begins at
// the earliest event.
//
// # What is kept
//
// Redis keeps all entries of a stream, handled or not, until somebody trims it. The
// library could trim by length, and wouldn't ask whether anybody has read what goes.
// [Config].Retention trims what all groups of a topic have settled and is old enough. Who
// trims otherwise (XTRIM, XADD with MAXLEN) takes from groups what they haven't handled.
// The group's own streams, T.G.dead and T.G.redrive of a group G on a topic T, are
// trimmed always.
//
// Redis answers before what it was told is on disk, unless appendfsync is always; a
// replica has it later still. So the server's configuration decides what survives its
// crash: an accepted event does with appendonly yes and appendfsync always, and a second's
// may not with everysec. A server that may evict streams (maxmemory-policy allkeys-…) is
// refused at the first use of a topic.
//
// # What it sets
//
// The default settings of the library hand a failed message out again at once, without
// end; end a subscription at an entry that isn't Watermill's; claim what a living member
// is at work on for a minute; and close the client with each subscriber. Here entries
// that nobody on Watermill wrote are dead letters, and all connections are the channel's:
// one for each subscription, and up to 64 to publish.
package bridgeredis
