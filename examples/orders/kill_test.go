package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/internal/servicetest"
)

// prefixed names types and topics on brokers that others use too.
type prefixed string

func (p prefixed) Message(t reflect.Type) (event.Message, bool) {
	names := map[reflect.Type]string{
		reflect.TypeFor[PlaceOrder]():  "place-order",
		reflect.TypeFor[OrderPlaced](): "order-placed",
	}
	name := string(p) + "-" + names[t]
	return event.Message{Type: name, Topic: name}, names[t] != ""
}
func (prefixed) MessageByType(string) (event.Message, bool) { return event.Message{}, false }
func (prefixed) Check(event.Event) error                    { return nil }
func (prefixed) Upcast(e event.Event) (event.Event, error)  { return e, nil }

// private is a broker's configuration of a test.
func private(name string) brokerConfig {
	return brokerConfig{app: name, catalog: prefixed(name), session: 1500 * time.Millisecond}
}

// workerTask is what a worker is told.
type workerTask struct {
	Flags []string
	Name  string
}

// TestWorkerProcess is a worker that is killed.
func TestWorkerProcess(t *testing.T) {
	var task workerTask
	if !killtest.Task(&task) {
		return // a part of TestTheWorkerIsKilled
	}
	cfg, err := parse(task.Flags, os.Stderr)
	require.NoError(t, err)
	cfg.broker, cfg.log = private(task.Name), slog.New(slog.NewTextHandler(os.Stderr, nil))
	require.NoError(t, run(t.Context(), cfg, os.Stdout))
}

// The worker is killed while it reserves the last one, the next while it charges for it. The
// third finishes the order, once, and who watched all the time sees it.
func TestTheWorkerIsKilled(t *testing.T) {
	brokers, addr := kafkatest.Brokers(t), servicetest.Addr(t, "redis")
	name := "shop-" + strings.ToLower(event.NewID())
	killtest.RemoveAtEnd(t, brokers, name)
	removeKeysAtEnd(t, addr, name)
	db := database(t)
	flags := func(more ...string) []string {
		return append([]string{"-postgres", db, "-kafka", strings.Join(brokers, ","), "-redis", addr}, more...)
	}
	worker := func(pause string) *killtest.Process {
		p, err := killtest.Start(t.Context(), "TestWorkerProcess", workerTask{flags("-role", "worker", "-pause", pause), name})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
		return p
	}

	cfg := configure(t, db, flags("-role", "web", "-listen", "127.0.0.1:0")...)
	cfg.broker = private(name)
	b := enter(t, start(t, cfg))
	first := worker("1h")
	b.awaitHandler(name + "-place-order")
	s := b.watch(b.order(name+"-place-order", "moon"))

	s.until(func(o seen) bool { return o.Progress.Note == "reserving" })
	first.Kill()
	second := worker("3s")
	s.until(func(o seen) bool { return o.Progress.Note == "charging" })
	second.Kill()
	require.Empty(t, ordered(t, db))
	worker("0s")
	o, _ := s.until(final)
	require.Equal(t, "succeeded", o.State)
	require.Positive(t, b.receipt(o))
	require.Equal(t, []string{"moon"}, ordered(t, db))
	require.Contains(t, b.stock(), Item{"moon", 0})
}

// awaitHandler waits until the shop knows who handles a command: until then it accepts none.
func (b *buyer) awaitHandler(command string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		answer, err := b.Post(b.shop+"/commands/"+command, "application/json", strings.NewReader(`{"item":"nothing"}`))
		require.NoError(b.t, err)
		require.NoError(b.t, answer.Body.Close())
		return answer.StatusCode == http.StatusAccepted
	}, patience, 100*time.Millisecond)
}

// removeKeysAtEnd removes what a test has left in Redis.
func removeKeysAtEnd(t *testing.T, addr, prefix string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, client := context.WithoutCancel(t.Context()), redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		for keys := client.Scan(ctx, 0, prefix+":*", 1000).Iterator(); keys.Next(ctx); {
			require.NoError(t, client.Del(ctx, keys.Val()).Err())
		}
	})
}
