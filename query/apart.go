package query

import (
	"context"

	"github.com/leat-go/leat/event"
)

// apart returns the context for what is asked on behalf of many, of whom ctx is the first's: its
// values, without its end. Of a batch handler only what is inherited is left, since nothing can
// be asked for a whole batch.
func apart(ctx context.Context) context.Context {
	if !event.InBatch(ctx) {
		return context.WithoutCancel(ctx)
	}
	origin, _ := event.OriginFrom(ctx)
	return event.WithOrigin(context.Background(), origin)
}
