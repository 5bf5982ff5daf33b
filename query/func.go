package query

import (
	"context"
	"slices"
)

// Func answers queries of type Q with an R. Handlers are, and so is a way to ask for
// them: see [Asker].
type Func[Q, R any] func(ctx context.Context, q Q) (R, error)

// Middleware is what goes around a [Func].
type Middleware[Q, R any] func(next Func[Q, R]) Func[Q, R]

// Chain puts middlewares around f; the first is the outermost.
func Chain[Q, R any](f Func[Q, R], ms ...Middleware[Q, R]) Func[Q, R] {
	for _, m := range slices.Backward(ms) {
		f = m(f)
	}
	return f
}
