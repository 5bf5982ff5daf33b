package memory

import "time"

// The defaults of the options.
const (
	DefaultCapacity     = 4096
	DefaultDeadCapacity = 4096
	DefaultLease        = 30 * time.Second
)

// most bounds the bounds, so that sums of them are far from overflowing.
const most = 1 << 30

// Option is an option of [New].
type Option func(*config)

type config struct {
	capacity  int
	reserve   int
	retain    int
	dead      int
	lease     time.Duration
	encode    bool
	overBound func(topic string, over int)
}

func newConfig(opts []Option) config {
	c := config{
		capacity: DefaultCapacity,
		reserve:  -1,
		dead:     DefaultDeadCapacity,
		lease:    DefaultLease,
	}
	for _, o := range opts {
		if o != nil {
			o(&c)
		}
	}
	c.capacity = min(max(c.capacity, 1), most)
	if c.reserve < 0 {
		c.reserve = max(c.capacity/4, 1)
	}
	c.reserve = min(c.reserve, most)
	c.retain = max(c.retain, 0)
	c.dead = max(c.dead, 1)
	c.lease = max(c.lease, 0)
	return c
}

// Capacity bounds each topic: publishers outside of handlers wait while the group
// that is furthest behind has n events unsettled, waiting, delayed or in hand. The
// default is [DefaultCapacity]; less than 1 counts as 1.
func Capacity(n int) Option { return func(c *config) { c.capacity = n } }

// Reserve is the room above the capacity that is left to publishing inside
// handlers, which never waits. The default is a quarter of the capacity, at least 1.
func Reserve(n int) Option { return func(c *config) { c.reserve = max(n, 0) } }

// Retain keeps the last n events of each topic for groups that come later. The
// default is 0: a new group gets what is produced from then on, and a start at the
// oldest event is refused with [event.ErrNoHistory].
func Retain(n int) Option { return func(c *config) { c.retain = n } }

// Lease is how long after [Channel.Crash] the deliveries of the crashed consumer go
// to others. The leases of all other consumers are renewed as long as they are open.
// The default is [DefaultLease].
func Lease(d time.Duration) Option { return func(c *config) { c.lease = d } }

// DeadCapacity bounds the dead letters of each topic and group. When n are there,
// Settle refuses the next with [event.ErrFull] and the delivery stays in hand. The
// default is [DefaultDeadCapacity]; less than 1 counts as 1.
func DeadCapacity(n int) Option { return func(c *config) { c.dead = n } }

// Encode lets every event make the round trip through its JSON form before it is
// accepted, so that a test sees what a broker would make of it.
func Encode() Option { return func(c *config) { c.encode = true } }

// OnOverBound sets a function that is told each time a publish inside a handler
// went over the capacity and the reserve of a topic, because everything in hand
// waited for room: over is how many events the fullest group then had above both,
// at most [MaxOverBound] unless all that waited needed more. It must not block or call the channel.
func OnOverBound(f func(topic string, over int)) Option {
	return func(c *config) { c.overBound = f }
}
