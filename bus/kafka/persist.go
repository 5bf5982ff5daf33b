package kafka

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long a question is asked again that a broker can't answer yet: while
// it elects leaders, loads its offsets or makes its first topic.
const patience = 30 * time.Second

// failover is how long brokers are asked again that can't be reached: another takes
// the place of one that died when its session has ended.
const failover = 15 * time.Second

// persist calls f until it has another answer than that it is too early.
func persist[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return persistIf(ctx, f, func(err error) bool { return kerr.IsRetriable(err) && !unknown(err) })
}

// persistFor is persist for a topic that exists: a broker may not know that yet.
func persistFor[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return persistIf(ctx, f, kerr.IsRetriable)
}

// away reports whether a broker could not be reached, one that others have named.
func away(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return kgo.IsRetryableBrokerErr(err) || ok && dial.Op == "dial"
}

func persistIf[T any](ctx context.Context, f func() (T, error), early func(error) bool) (T, error) {
	start := time.Now()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		v, err := f()
		passed := time.Since(start)
		switch {
		case err == nil, inUse(err), passed > patience:
			return v, err
		case early(err), away(err) && passed < failover:
		default:
			return v, err
		}
		if sleep(ctx, pause) != nil {
			return v, err
		}
	}
}
