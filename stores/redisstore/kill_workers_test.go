package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

// workerTask is what a worker in a process of its own has to know.
type workerTask struct {
	Redis, Prefix    string
	Brokers          []string
	App, Topic, Next string
	Number           int // of the worker; none has that of another
	Plan             killtest.Plan
}

// session and lease are short, so that others take over soon what a killed worker had.
const (
	session = 1500 * time.Millisecond
	lease   = 2 * time.Second
)

// The points of a delivery where its process is killed.
const (
	pointBeforeClaim  = "before the claim"
	pointBeforeEffect = "before the effect"
	pointAfterEffect  = "after the effect"
	pointBeforeRecord = "before the record"
	pointAfterRecord  = "after the record"
)

// TestWorkerProcess is a worker that is killed. Its effects are numbers in Redis, and it
// says with each that it has no record yet, which is taken back when it has: what was open
// when it died is what may happen again.
func TestWorkerProcess(t *testing.T) {
	var task workerTask
	if !killtest.Task(&task) {
		return // a part of TestWorkersAreKilled
	}
	client := redis.NewClient(&redis.Options{Addr: task.Redis, MaxRetries: -1})
	once := idempotency.Middleware(
		redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{Prefix: task.Prefix + ":once:"}), idempotency.Lease(lease))
	points := &killtest.Points{Plan: task.Plan}
	b := bus.New(bus.Config{App: task.App, Channel: points.Channel(kafka.New(kafka.Config{Brokers: task.Brokers, SessionTimeout: session}))})
	pass, open := points.Pass, openOf(task.Prefix, task.Number)
	around := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			pass(pointBeforeClaim)
			if err := next(ctx, e); err != nil {
				return err
			}
			err := client.SRem(ctx, open, e.ID()).Err()
			pass(pointAfterRecord)
			return err
		}
	})
	bus.SubscribeRaw(b, "billing", nil, func(ctx context.Context, e event.Event) error {
		pass(pointBeforeEffect)
		_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HIncrBy(ctx, effectsOf(task.Prefix), e.ID(), 1)
			p.SAdd(ctx, open, e.ID())
			return nil
		})
		if err != nil {
			return err
		}
		pass(pointAfterEffect)
		if err := b.Publish(ctx, followed{e.ID()}, bus.Topic(task.Next)); err != nil {
			return err
		}
		pass(pointBeforeRecord)
		return nil
	}, bus.Topic(task.Topic), bus.With(around, once), bus.Workers(4))
	require.NoError(t, b.Start(t.Context()))
	select {} // until it is killed
}

type followed struct{ Event string }

func openOf(prefix string, worker int) string { return fmt.Sprint(prefix, ":open:", worker) }
func effectsOf(prefix string) string          { return prefix + ":effects" }

// Workers are killed 200 times, at each point and at random: each event has its effect, and
// has it again only where a worker died between the effect and its record; what follows it
// arrives.
func TestWorkersAreKilled(t *testing.T) {
	servicetest.Long(t)
	const lanes, workers = 4, 2
	brokers, addr := kafkatest.Brokers(t), servicetest.Addr(t, "redis")
	name := "kills-" + strings.ToLower(event.NewID())
	killtest.RemoveAtEnd(t, brokers, name)
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { removeKeys(t, client, name) })
	var apps []string
	for lane := range lanes {
		apps = append(apps, fmt.Sprint(name, "-", lane))
	}
	start := func(place, number int, plan killtest.Plan) (*killtest.Process, error) {
		app := apps[place%lanes]
		return killtest.Start(t.Context(), "TestWorkerProcess", workerTask{
			Redis: addr, Prefix: name, Brokers: brokers, App: app, Topic: app, Next: name + "-next", Number: number, Plan: plan,
		})
	}
	ch := kafka.New(kafka.Config{Brokers: brokers})
	t.Cleanup(func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: name + "-next", Partitions: killtest.Partitions}))
	load := &killtest.Load{Channel: ch, Apps: apps, Event: func(id string, n int) event.Event {
		return event.New("/shop", "paid", nil).WithID(id).WithKey(fmt.Sprint(n % 20))
	}}
	require.NoError(t, load.Start(t.Context()))

	began := time.Now()
	campaign := &killtest.Campaign{
		Kills: 200, Workers: lanes * workers, Start: start,
		Points: []killtest.Plan{
			{Point: pointBeforeClaim},
			{Point: pointBeforeEffect},
			{Point: pointAfterEffect},
			{Point: pointBeforeRecord},
			{Point: pointBeforeRecord, Within: time.Millisecond},
			{Point: pointAfterRecord},
			{Point: killtest.BeforeProduce},
			{Point: killtest.AfterProduce},
			{Point: killtest.BeforeSettle},
			{Point: killtest.AfterSettle},
		},
	}
	killed, err := campaign.Run(t.Context())
	require.NoError(t, err)
	want, err := load.End()
	require.NoError(t, err)
	took := time.Since(began)
	for place := range lanes * workers {
		p, err := start(place, campaign.Kills+place, killtest.Plan{})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
	}
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(t, load.Quiet(soon, "billing"))
	t.Logf("%d events; %d kills in %v: %v; all was done %v later",
		len(want), campaign.Kills, took.Round(time.Second), killed, (time.Since(began) - took).Round(time.Second))
	for _, p := range campaign.Points {
		require.Positive(t, killed[p.Point], p.Point)
	}

	may := make(map[string]int) // how often each may have happened again
	for worker := range campaign.Kills {
		ids, err := client.SMembers(t.Context(), openOf(name, worker)).Result()
		require.NoError(t, err)
		for _, id := range ids {
			may[id]++
		}
	}
	effects, err := client.HGetAll(t.Context(), effectsOf(name)).Result()
	require.NoError(t, err)
	follow, doubled := make(map[string]bool), 0
	for id, app := range want {
		follow[event.DerivedID(app+".billing", "/shop", id, 0)] = true
		var n int
		_, _ = fmt.Sscan(effects[id], &n) // 0 if it isn't there
		assert.Positive(t, n, "%s has had no effect", id)
		assert.LessOrEqual(t, n-1, may[id], "%s has had its effect again, and no worker died before its record", id)
		if n > 1 {
			doubled++
		}
	}
	require.Equal(t, len(want), len(effects), "effects") //nolint:testifylint // thousands
	require.Positive(t, doubled, "nobody died between an effect and its record")
	records, err := killtest.Read(t.Context(), brokers, name+"-next")
	require.NoError(t, err)
	published := make(map[string]bool)
	for _, r := range records {
		published[killtest.ID(r)] = true
		assert.True(t, follow[killtest.ID(r)], "%s follows nothing", killtest.ID(r))
	}
	require.Equal(t, len(follow), len(published), "events follow") //nolint:testifylint // thousands
	t.Logf("%d events were open when their worker died, %d effects happened again; %d events follow, %d of them came again",
		len(may), doubled, len(published), len(records)-len(published))
}

func removeKeys(t *testing.T, client *redis.Client, prefix string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for all := client.Scan(ctx, 0, prefix+":*", 1000).Iterator(); all.Next(ctx); {
		require.NoError(t, client.Unlink(ctx, all.Val()).Err())
	}
	require.NoError(t, client.Close())
}
