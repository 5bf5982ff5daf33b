package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// patience is how long a question is asked again that a broker can't answer yet: while
// it elects leaders, loads its offsets or makes its first topic.
const patience = 30 * time.Second

// persist calls f until it has another answer than that it is too early.
func persist[T any](ctx context.Context, f func() (T, error)) (T, error) {
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		v, err := f()
		if err == nil || !kerr.IsRetriable(err) || unknown(err) || inUse(err) || time.Now().After(deadline) {
			return v, err
		}
		if sleep(ctx, pause) != nil {
			return v, err
		}
	}
}
