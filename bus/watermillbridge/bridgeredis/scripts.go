package bridgeredis

import "github.com/redis/go-redis/v9"

// giveBack lets any member claim a message (an entry ARGV[3] of a stream, pending for the
// consumer ARGV[2] of the group ARGV[1]) as if it had been idle for ARGV[4] ms, unless
// another has claimed it.
//
//nolint:dupword // from an id to the same
var giveBack = redis.NewScript(`
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2]) == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')
return 1`)

// leave removes the consumer ARGV[2] from the group ARGV[1], unless it has messages: they
// would be lost with it.
var leave = redis.NewScript(`
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])`)
