package notify

import (
	"sync"
	"sync/atomic"
)

// Each calls f with 0 to n-1, at most limit at a time, and returns when all calls have. A
// panic of a call is raised here again, where the caller's recover sees it, when the others
// have returned.
func Each(n, limit int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		panics = make(chan any, n)
	)
	call := func(i int) {
		defer func() {
			if r := recover(); r != nil {
				panics <- r
			}
		}()
		f(i)
	}
	for range min(n, limit) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				call(i)
			}
		})
	}
	wg.Wait()
	select {
	case r := <-panics:
		panic(r)
	default:
	}
}
