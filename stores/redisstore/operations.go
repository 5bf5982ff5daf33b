package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/command"
)

// Operations is a [command.Operations] in Redis. Its methods may be called concurrently,
// by any number of processes.
type Operations struct {
	client redis.UniversalClient
	prefix string
	keep   time.Duration
	listen *listener
}

var _ command.Operations = (*Operations)(nil)

// OperationsConfig says where and for how long. The zero value is usable.
type OperationsConfig struct {
	Prefix string        // of all keys and channels; "": leat:operation:
	Keep   time.Duration // how long an operation is kept after its last change; 0: a day. Its id is known for as long again
}

const (
	defaultOperationPrefix = "leat:operation:"
	defaultKeep            = 24 * time.Hour
)

// NewOperations returns a store on a client, which stays open.
func NewOperations(client redis.UniversalClient, cfg OperationsConfig) *Operations {
	if cfg.Prefix == "" {
		cfg.Prefix = defaultOperationPrefix
	}
	if cfg.Keep <= 0 {
		cfg.Keep = defaultKeep
	}
	return &Operations{client, cfg.Prefix, max(cfg.Keep, time.Millisecond), newListener(client)}
}

// The hash of an operation has these fields: o is all of it as JSON, in which version and
// times don't count, v the version, c and u when it was created and updated, in µs since
// 1970 by the server's clock, k the call that created it and n the call that changed it
// last. It is removed by its time to live. A second key, which lives on for as long again,
// knows that it was there.
//
// A call is known by a word of its own since the client tries again when it has lost an
// answer: what was done by the same call is not done again, and not refused either.
const (
	clock = `
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
`
	keepIt = `
local function keep(version, ...)
	local span = tonumber(ARGV[3])
	local till = math.max(math.ceil(now / 1000), tonumber(ARGV[4])) + span
	redis.call('HSET', KEYS[1], 'o', ARGV[2], 'v', version, 'u', now, 'n', ARGV[1], ...)
	redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', till))
	redis.call('SET', KEYS[2], '')
	redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', till + span))
	redis.call('PUBLISH', KEYS[1], version)
end
`
)

var createIt = redis.NewScript(clock + keepIt + `
local o, v, c, u, k = unpack(redis.call('HMGET', KEYS[1], 'o', 'v', 'c', 'u', 'k'))
if v and k == ARGV[1] then return {'done', '1', c, c} end
if v then return {'exists', v, c, u, o} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'forgotten'} end
keep('1', 'c', now, 'k', ARGV[1])
return {'done', '1', now, now}
`)

var swapIt = redis.NewScript(clock + keepIt + `
local v, c, u, n = unpack(redis.call('HMGET', KEYS[1], 'v', 'c', 'u', 'n'))
if not v then return {redis.call('EXISTS', KEYS[2]) == 1 and 'forgotten' or 'none'} end
if n == ARGV[1] then return {'done', v, c, u} end
if v ~= ARGV[5] then return {'conflict'} end
v = string.format('%.0f', v + 1)
keep(v)
return {'done', v, c, now}
`)

// getIt is a script so that it is asked of the master, also where the client reads from
// replicas: what was woken by a change must see it.
var getIt = redis.NewScript(`
local o, v, c, u = unpack(redis.call('HMGET', KEYS[1], 'o', 'v', 'c', 'u'))
if v then return {'exists', v, c, u, o} end
return {redis.call('EXISTS', KEYS[2]) == 1 and 'forgotten' or 'none'}
`)

// Create implements [command.Operations]. It returns [command.ErrFull] where Redis has
// reached its maxmemory and evicts nothing.
func (s *Operations) Create(ctx context.Context, o command.Operation) (command.Operation, error) {
	args, err := s.args(o)
	if err != nil {
		return command.Operation{}, err
	}
	state, kept, err := s.run(ctx, createIt, o, args...)
	switch {
	case redis.HasErrorPrefix(err, "OOM"):
		return command.Operation{}, fmt.Errorf("%w: %w", command.ErrFull, err)
	case err != nil:
		return command.Operation{}, fmt.Errorf("redisstore: create an operation: %w", err)
	case state == "exists":
		return kept, command.ErrExists
	case state == "forgotten":
		return command.Operation{ID: o.ID}, command.ErrExists
	}
	return kept, nil
}

// Get implements [command.Operations].
func (s *Operations) Get(ctx context.Context, id string) (command.Operation, error) {
	state, o, err := s.run(ctx, getIt, command.Operation{ID: id})
	if err != nil {
		return command.Operation{}, fmt.Errorf("redisstore: get an operation: %w", err)
	}
	return o, refusals[state]
}

// Swap implements [command.Operations].
func (s *Operations) Swap(ctx context.Context, o command.Operation) (command.Operation, error) {
	args, err := s.args(o)
	if err != nil {
		return command.Operation{}, err
	}
	state, o, err := s.run(ctx, swapIt, o, append(args, o.Version)...)
	if err != nil {
		return command.Operation{}, fmt.Errorf("redisstore: swap an operation: %w", err)
	}
	return o, refusals[state]
}

// Watch implements [command.Operations]. All who watch share one connection.
func (s *Operations) Watch(ctx context.Context, id string, wake func()) (func(), error) {
	stop, err := s.listen.watch(ctx, s.keys(id)[0], wake)
	if err != nil {
		return nil, fmt.Errorf("redisstore: watch an operation: %w", err)
	}
	return stop, nil
}

// Close ends watching: who watches still is woken no more, and Watch is an error. All else
// goes on for as long as the client is open. It waits for the store's goroutines.
func (s *Operations) Close() error {
	s.listen.close()
	return nil
}

var braces = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// keys are those of an operation. They differ outside the braces alone: on a cluster what is
// in them decides on the node.
func (s *Operations) keys(id string) []string {
	key := s.prefix + "{" + braces.Replace(id) + "}"
	return []string{key, key + ":known"}
}

// args are the arguments of the scripts that change an operation.
func (s *Operations) args(o command.Operation) ([]any, error) {
	data, err := o.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("redisstore: encode an operation: %w", err)
	}
	notBefore := o.NotBefore.Add(time.Millisecond - 1).UnixMilli() // not too early
	return []any{rand.Text(), data, s.keep.Milliseconds(), notBefore}, nil
}

// refusals are what scripts answer where there is no operation to return.
var refusals = map[string]error{
	"none": command.ErrNoOperation, "forgotten": command.ErrForgotten, "conflict": command.ErrConflict,
}

// run runs a script on an operation and returns what it answered and the operation that is
// kept: that which there is, or o with the version and the times of the store.
func (s *Operations) run(
	ctx context.Context, script *redis.Script, o command.Operation, args ...any,
) (string, command.Operation, error) {
	answer, err := script.Run(ctx, s.client, s.keys(o.ID), args...).StringSlice()
	if err != nil {
		return "", command.Operation{}, err
	}
	state, rest := answer[0], answer[1:]
	if _, no := refusals[state]; no {
		return state, command.Operation{}, nil
	}
	if state == "exists" {
		o = command.Operation{}
		err = o.UnmarshalBinary([]byte(rest[3]))
	}
	err = errors.Join(err, stamp(&o, rest))
	return state, o, err
}

// stamp sets the version and the times of the store.
func stamp(o *command.Operation, words []string) (err error) {
	number := func(i int) int64 {
		n, e := strconv.ParseInt(words[i], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	o.Version = number(0)
	o.Created, o.Updated = time.UnixMicro(number(1)).UTC(), time.UnixMicro(number(2)).UTC()
	return err
}
