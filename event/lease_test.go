package event_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

func TestLeaseBeforeItsEnd(t *testing.T) {
	var l event.Lease
	require.NoError(t, l.Err())
	require.NoError(t, context.Cause(&l))
	_, limited := l.Deadline()
	assert.False(t, limited)
	assert.Nil(t, l.Value("key"))
	select {
	case <-l.Done():
		t.Fatal("done before its end")
	default:
	}
	require.NoError(t, l.Err())
	require.NoError(t, context.Cause(&l))
	assert.Nil(t, l.Value("key"))
}

func TestLeaseEnds(t *testing.T) {
	for _, doneFirst := range []bool{false, true} {
		var l event.Lease
		if doneFirst {
			_ = l.Done()
		}
		l.End(event.ErrLeaseLost)
		l.End(event.ErrClosed) // changes nothing
		require.ErrorIs(t, l.Err(), context.Canceled)
		require.ErrorIs(t, context.Cause(&l), event.ErrLeaseLost)
		<-l.Done()
		require.ErrorIs(t, context.Cause(&l), event.ErrLeaseLost)
	}
}

func TestLeaseEndsWithoutACause(t *testing.T) {
	var l event.Lease
	l.End(nil)
	require.ErrorIs(t, l.Err(), context.Canceled)
	require.ErrorIs(t, context.Cause(&l), context.Canceled)
	<-l.Done()
	l.End(event.ErrClosed)
	require.ErrorIs(t, context.Cause(&l), context.Canceled)
}

type key struct{}

func TestLeaseCauseReachesChildren(t *testing.T) {
	var l event.Lease
	valued := context.WithValue(&l, key{}, "v")
	cancelled, cancel := context.WithCancel(valued)
	defer cancel()
	timed, cancelTimed := context.WithTimeout(cancelled, time.Hour)
	defer cancelTimed()
	called := make(chan error, 1)
	stop := context.AfterFunc(timed, func() { called <- context.Cause(timed) })
	defer stop()
	l.End(event.ErrLeaseLost)
	for _, child := range []context.Context{valued, cancelled, timed} {
		<-child.Done()
		require.ErrorIs(t, child.Err(), context.Canceled)
		require.ErrorIs(t, context.Cause(child), event.ErrLeaseLost)
	}
	require.ErrorIs(t, <-called, event.ErrLeaseLost)
	assert.Equal(t, "v", timed.Value(key{}))

	late, cancelLate := context.WithTimeout(&l, time.Hour)
	defer cancelLate()
	require.ErrorIs(t, context.Cause(late), event.ErrLeaseLost, "a child made after the end")
}

func TestLeaseChildEndsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l event.Lease
		child, cancel := context.WithTimeoutCause(&l, time.Minute, errors.New("too slow"))
		defer cancel()
		<-child.Done() // virtual
		require.ErrorIs(t, child.Err(), context.DeadlineExceeded)
		require.EqualError(t, context.Cause(child), "too slow")
		require.NoError(t, l.Err())
	})
}

func TestLeaseChildrenNeedNoGoroutine(t *testing.T) {
	const n = 100
	leases := make([]event.Lease, n)
	before := runtime.NumGoroutine()
	var cancels []context.CancelFunc
	for i := range leases {
		attempt := &event.Attempt{Context: &leases[i]}
		child, cancel := context.WithTimeout(context.WithValue(attempt, key{}, i), time.Hour)
		_, cancelInner := context.WithCancel(child)
		cancels = append(cancels, cancel, cancelInner)
	}
	assert.Less(t, runtime.NumGoroutine(), before+n/2)
	for _, cancel := range cancels {
		cancel()
	}
}

func TestLeaseUsedByMany(t *testing.T) {
	lost := func(ctx context.Context) {
		if cause := context.Cause(ctx); !errors.Is(cause, event.ErrLeaseLost) {
			t.Errorf("the cause is %v", cause)
		}
	}
	for range 200 {
		var (
			l  event.Lease
			wg sync.WaitGroup
		)
		for i := range 8 {
			wg.Go(func() {
				switch i % 4 {
				case 0:
					<-l.Done()
					if l.Err() == nil {
						t.Error("Done is closed and Err isn't set")
					}
					lost(&l)
				case 1:
					child, cancel := context.WithCancel(&l)
					<-child.Done()
					lost(child)
					cancel()
				case 2:
					for l.Err() == nil {
						runtime.Gosched()
					}
					select {
					case <-l.Done():
					default:
						t.Error("Err is set and Done isn't closed")
					}
					lost(&l)
				case 3:
					l.End(event.ErrLeaseLost)
				}
			})
		}
		wg.Wait()
	}
}

func TestLeaseThatNobodyWaitsForIsFree(t *testing.T) {
	leases := make([]event.Lease, 1000)
	i := 0
	assert.Zero(t, testing.AllocsPerRun(len(leases)-1, func() {
		l := &leases[i]
		i++
		_ = l.Err()
		_ = l.Value(key{})
	}))
}
