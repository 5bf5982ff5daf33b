// Package redisstore keeps leat's state in Redis. So far that is the store of package
// idempotency.
//
// # Idempotency
//
// A key is a hash that is changed by scripts alone, one round trip each: claims are
// atomic, and the server's clock counts. It is removed by its own time to live.
//
// What Redis has answered for survives its end only as its persistence is set: with
// "appendonly yes" and "appendfsync always" each answer, with "everysec" all but the last
// second. A failover to a replica can lose the last answers in any case, since replicas
// follow behind. What is lost is a record that something was done, or that somebody is at
// it: then it is done again. Where that may not be, the effect and the record have to
// commit together, in a database.
package redisstore
