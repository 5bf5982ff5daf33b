// Package redisstore keeps leat's state in Redis: the stores of the packages idempotency,
// payload and command.
//
// # Idempotency
//
// A key is a hash that is changed by scripts alone, one round trip each: claims are
// atomic, and the server's clock counts. It is removed by its own time to live.
//
// What Redis has answered for survives its end only as its persistence is set: with
// "appendonly yes" and "appendfsync always" each answer, with "everysec" all but the last
// second. A failover to a replica can lose the last answers in any case, since replicas
// follow behind. A server that is full and evicts keys (any maxmemory-policy but
// "noeviction") loses the oldest answers, or any. What is lost is a record that something was done, or that somebody is at
// it: then it is done again. Where that may not be, the effect and the record have to
// commit together, in a database.
//
// # Operations
//
// An operation is a hash that is changed by scripts alone, one round trip each, and the
// server's clock counts. A call whose answer was lost, and which the client tries again,
// has its effect once. Records and ids are removed by their own times to live, so Redis
// must evict nothing: with "maxmemory-policy noeviction" it refuses new operations where it
// has no room, and [Operations.Create] returns command.ErrFull.
//
// A change is published by the script that makes it, on a channel with the name of the
// operation's key: a user of Redis with an ACL needs the channels ("&leat:operation:*") as
// well as the keys. While somebody watches, a store has one connection beside the client's
// pool and two goroutines, for any number of watchers; some seconds after the last has
// stopped, and with [Operations.Close] or the end of the client, they are gone. When the
// connection breaks, or gives no sign of life for 5 to 10 seconds, another takes its place,
// and all who watch are woken, since changes may have been missed. A call of Watch fails
// when Redis can't be reached, or refuses the subscription.
//
// It works on a cluster too: all that a script touches is in one slot, and what is
// published comes to all nodes. There a message is lost without notice if the link between
// two nodes breaks at that moment; who can't live with that looks for itself now and then.
// A redis.Ring can't be watched.
package redisstore
