package query_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/query"
)

// task is what a process that answers is to do.
type task struct {
	Brokers []string
	Prefix  string
	Holds   bool // it never answers
}

// TestReplier is a process that answers until it is killed.
func TestReplier(t *testing.T) {
	var job task
	if !killtest.Task(&job) {
		return // a part of the tests below
	}
	points := &killtest.Points{}
	b := bus.New(bus.Config{
		App: job.Prefix + "server", Catalog: named(job.Prefix),
		Channel: kafka.New(kafka.Config{Brokers: job.Brokers, SessionTimeout: session}),
	})
	query.Handle(b, func(ctx context.Context, q getOrder) (order, error) {
		points.Pass("at work")
		if job.Holds {
			<-ctx.Done()
		}
		return order(struct {
			ID    string
			Cents int
		}{ID: q.ID}), ctx.Err()
	})
	require.NoError(t, b.Start(t.Context()))
	select {}
}

// killing is an asker, and a way to start repliers.
func killing(t *testing.T) (client *bus.Bus, start func(holds bool) *killtest.Process) {
	t.Helper()
	brokers := kafkatest.Brokers(t)
	prefix := "q" + strings.ToLower(event.NewID()) + "-"
	killtest.RemoveAtEnd(t, brokers, prefix)
	ch := kafka.New(kafka.Config{Brokers: brokers})
	client = bus.New(bus.Config{App: prefix + "client", Catalog: named(prefix), Channel: ch})
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.Shutdown(context.WithoutCancel(t.Context()))) })
	typ, topic, err := client.Style().Message(typeOf[getOrder]())
	require.NoError(t, err)
	require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: topic, Partitions: 2}))
	require.NoError(t, ch.EnsureGroup(t.Context(), prefix+"server."+typ, event.Start{}, topic))
	return client, func(holds bool) *killtest.Process {
		p, err := killtest.Start(t.Context(), "TestReplier", task{Brokers: brokers, Prefix: prefix, Holds: holds})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
		return p
	}
}

// When the only one who could answer is killed in the middle of it, all who wait hear that, long before
// their deadline.
func TestTheReplierIsKilled(t *testing.T) {
	client, start := killing(t)
	p := start(true)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	heard := make(chan error, 10)
	for n := range cap(heard) {
		go func() {
			_, err := query.Ask[order](ctx, client, getOrder{ID: strconv.Itoa(n)})
			heard <- err
		}()
	}
	<-p.Working()
	p.Kill()
	for range cap(heard) {
		require.ErrorIs(t, <-heard, query.ErrNoHandler)
	}
	require.NoError(t, ctx.Err())
}

// While others can answer, a query whose replier is killed is answered by one of them; under steady load, with a
// replier killed now and then, each query gets its answer or an error by its deadline.
func TestRepliersAreKilled(t *testing.T) {
	client, start := killing(t)
	first := start(false)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	_, err := query.Ask[order](ctx, client, getOrder{ID: "warm"})
	require.NoError(t, err)
	kills := 3
	var all sync.WaitGroup
	stop := make(chan struct{})
	type result struct {
		err  error
		over time.Duration // beyond the deadline
	}
	results := make(chan result, 100_000)
	for range 20 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				one, cancel := context.WithTimeout(ctx, 20*time.Second)
				o, err := query.Ask[order](one, client, getOrder{ID: strconv.Itoa(n)})
				by, _ := one.Deadline()
				cancel()
				if err == nil && o.ID != strconv.Itoa(n) {
					t.Errorf("the answer to another: %q for %d", o.ID, n)
				}
				results <- result{err, time.Since(by)}
			}
		})
	}
	for range kills {
		next := start(false)
		<-next.Working() // it has a share of the queries
		first.Kill()
		first = next
	}
	close(stop)
	all.Wait()
	close(results)
	answered, refused := 0, 0
	for r := range results {
		require.Less(t, r.over, 5*time.Second, "it hung")
		if r.err != nil {
			require.True(t, strings.Contains(r.err.Error(), query.ErrNoAnswer.Error()) || strings.Contains(r.err.Error(), query.ErrNoHandler.Error()), r.err)
			refused++
			continue
		}
		answered++
	}
	require.Positive(t, answered)
	t.Logf("%d killed; %d answered, %d got an error", kills, answered, refused)
}
