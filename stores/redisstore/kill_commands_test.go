package redisstore_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/payload"
	"github.com/leat-go/leat/stores/redisstore"
)

// chargeNoted is a command whose payload is in Redis, as all of this test are.
type chargeNoted struct{ Note string }

type charged struct{ Note string }

// laned names the command, and with it its topic and its group.
type laned string

func (l laned) Message(t reflect.Type) (event.Message, bool) {
	return event.Message{Type: string(l), Topic: string(l)}, t == reflect.TypeFor[chargeNoted]()
}
func (laned) MessageByType(string) (event.Message, bool) { return event.Message{}, false }
func (laned) Check(event.Event) error                    { return nil }
func (laned) Upcast(e event.Event) (event.Event, error)  { return e, nil }

// keptIn says where what is kept of the commands is.
func keptIn(client *redis.Client, prefix string) command.Config {
	return command.Config{
		Operations: redisstore.NewOperations(client, redisstore.OperationsConfig{Prefix: prefix + ":operation:"}),
		Payloads:   redisstore.NewPayloads(client, redisstore.PayloadConfig{Prefix: prefix + ":payload:"}),
		Payload:    payload.Config{Above: 1},
	}
}

const pointPayloadRead = "after the payload was read"

// TestCommandProcess is a worker for commands that is killed.
func TestCommandProcess(t *testing.T) {
	var task workerTask
	if !killtest.Task(&task) {
		return // a part of TestCommandsAreKilled
	}
	client := redis.NewClient(&redis.Options{Addr: task.Redis, MaxRetries: -1})
	once := idempotency.Middleware(
		redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{Prefix: task.Prefix + ":once:"}), idempotency.Lease(lease))
	points := &killtest.Points{Plan: task.Plan}
	b := bus.New(bus.Config{
		App: "workers", Catalog: laned(task.Topic),
		Channel: points.Channel(kafka.New(kafka.Config{Brokers: task.Brokers, SessionTimeout: session})),
	})
	command.Use(b, keptIn(client, task.Prefix))
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
	command.HandleResult(b, func(ctx context.Context, c chargeNoted) (charged, error) {
		pass(pointPayloadRead)
		info, _ := event.FromContext(ctx)
		_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.HIncrBy(ctx, effectsOf(task.Prefix), info.Event.ID(), 1)
			p.SAdd(ctx, open, info.Event.ID())
			return nil
		})
		pass(pointAfterEffect)
		return charged(c), err
	}, bus.With(around, once), bus.Workers(4))
	require.NoError(t, b.Start(t.Context()))
	select {} // until it is killed
}

// Workers are killed 100 times, at each step of a command and at random: no command is lost,
// none fails for that, each has its result, and no payload is left.
func TestCommandsAreKilled(t *testing.T) {
	servicetest.Long(t)
	const lanes, workers = 3, 2
	brokers, addr := kafkatest.Brokers(t), servicetest.Addr(t, "redis")
	name := "commands-" + strings.ToLower(event.NewID())
	killtest.RemoveAtEnd(t, brokers, name)
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { removeKeys(t, client, name) })
	cfg := keptIn(client, name)
	ch := kafka.New(kafka.Config{Brokers: brokers})
	t.Cleanup(func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) })
	topic := func(lane int) string { return fmt.Sprint(name, "-", lane) }
	senders := &senders{t: t, ended: make(chan struct{})}
	for lane := range lanes {
		require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: topic(lane), Partitions: killtest.Partitions}))
		require.NoError(t, ch.EnsureGroup(t.Context(), topic(lane), event.Start{}, topic(lane)))
		b := bus.New(bus.Config{App: "web", Channel: ch, KeepChannel: true, Catalog: laned(topic(lane))})
		command.Use(b, cfg)
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
		senders.all.Go(func() { senders.send(b) })
	}
	start := func(place, number int, plan killtest.Plan) (*killtest.Process, error) {
		return killtest.Start(t.Context(), "TestCommandProcess", workerTask{
			Redis: addr, Prefix: name, Brokers: brokers, Topic: topic(place % lanes), Number: number, Plan: plan,
		})
	}
	campaign := &killtest.Campaign{
		Kills: 100, Workers: lanes * workers, Start: start,
		Points: []killtest.Plan{
			{Point: pointBeforeClaim},
			{Point: pointPayloadRead},
			{Point: pointAfterEffect},
			{Point: pointAfterRecord},
			{Point: pointAfterRecord, Within: 2 * time.Millisecond}, // before the operation is written, or the answer sent
			{Point: killtest.BeforeSettle},
			{Point: killtest.AfterSettle},
		},
	}
	killed, err := campaign.Run(t.Context())
	require.NoError(t, err)
	ids := senders.end()
	for place := range lanes * workers {
		p, err := start(place, campaign.Kills+place, killtest.Plan{})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
	}
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	may := make(map[string]int) // how often each may have happened again
	for worker := range campaign.Kills {
		open, err := client.SMembers(t.Context(), openOf(name, worker)).Result()
		require.NoError(t, err)
		for _, id := range open {
			may[id]++
		}
	}
	doubled := 0
	for id, note := range ids {
		var last command.Operation
		for o, err := range command.Watch(soon, cfg.Operations, id, 0) {
			require.NoError(t, err, "%s is %s", id, last.State)
			last = o
		}
		assert.Equal(t, command.Succeeded, last.State, id)
		assert.JSONEq(t, fmt.Sprintf(`{"Note":%q}`, note), string(last.Result.Data), id)
	}
	effects, err := client.HGetAll(t.Context(), effectsOf(name)).Result()
	require.NoError(t, err)
	for id := range ids {
		var n int
		_, _ = fmt.Sscan(effects[id], &n)
		assert.Positive(t, n, "%s has had no effect", id)
		assert.LessOrEqual(t, n-1, may[id], "%s has had its effect again, and no worker died before its record", id)
		if n > 1 {
			doubled++
		}
	}
	require.Eventually(t, func() bool { return payloads(t, client, name) == 0 }, 3*time.Minute, time.Second, "payloads are left")
	for lane := range lanes {
		lag, err := ch.Lag(t.Context(), topic(lane), topic(lane))
		require.NoError(t, err)
		require.Zero(t, lag.Dead)
	}
	t.Logf("%d commands; kills: %v; %d effects happened again, all where a worker died before its record", len(ids), killed, doubled)
}

// payloads counts those that are left.
func payloads(t *testing.T, client *redis.Client, prefix string) int {
	t.Helper()
	n := 0
	for all := client.Scan(t.Context(), 0, prefix+":payload:*", 1000).Iterator(); all.Next(t.Context()); {
		n++
	}
	return n
}

// senders send commands until they end.
type senders struct {
	t     *testing.T
	ended chan struct{}
	all   sync.WaitGroup
	mu    sync.Mutex
	ids   map[string]string // and what the command says
}

func (s *senders) send(b *bus.Bus) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		note := strings.Repeat("x", n%50) + fmt.Sprint(n)
		id, err := command.Send(s.t.Context(), b, chargeNoted{note}, bus.Key(fmt.Sprint(n%20)))
		if err != nil {
			s.t.Error(err)
			return
		}
		s.mu.Lock()
		if s.ids == nil {
			s.ids = make(map[string]string)
		}
		s.ids[id] = note
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-s.ended:
			return
		}
	}
}

// end ends it, and returns what was sent.
func (s *senders) end() map[string]string {
	close(s.ended)
	s.all.Wait()
	return s.ids
}
