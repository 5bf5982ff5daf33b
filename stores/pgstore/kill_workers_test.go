package pgstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/pgstore"
)

// workerTask is what a worker in a process of its own has to know.
type workerTask struct {
	Postgres, Schema, Table string
	Brokers                 []string
	App, Topic, Next        string
	Plan                    killtest.Plan
}

// session is short, so that others take over soon what a killed worker had.
const session = 1500 * time.Millisecond

// TestWorkerProcess is a worker that is killed: it handles events, and is one of the
// relays.
func TestWorkerProcess(t *testing.T) {
	var task workerTask
	if !killtest.Task(&task) {
		return // a part of TestWorkersAreKilled
	}
	pool := connect(t, task.Postgres)
	s := pgstore.New(pool, pgstore.Schema(task.Schema))
	points := &killtest.Points{Plan: task.Plan}
	b := bus.New(bus.Config{App: task.App, Channel: points.Channel(kafka.New(kafka.Config{Brokers: task.Brokers, SessionTimeout: session}))})
	pass := func(point string) error {
		points.Pass(point)
		return nil
	}
	crashing(b, bank{pool, task.Table}, s.InTx(), pass, bus.Topic(task.Topic), task.Next)
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, s.Relay(t.Context(), b))
}

// Workers are killed 200 times, at each point and at random: each event has its effect
// once, and what follows it arrives.
func TestWorkersAreKilled(t *testing.T) {
	servicetest.Long(t)
	const lanes, workers = 4, 2
	brokers := kafkatest.Brokers(t)
	name := "kills-" + strings.ToLower(event.NewID())
	killtest.RemoveAtEnd(t, brokers, name)
	pool := connect(t, servicetest.Addr(t, "postgres"))
	money, next := newBank(t, pool), name+"-next"
	var apps, schemas []string
	var stores []*pgstore.Store
	for lane := range lanes { // each with its relays
		apps, schemas = append(apps, fmt.Sprint(name, "-", lane)), append(schemas, schemaName(t, pool))
		stores = append(stores, pgstore.New(pool, pgstore.Schema(schemas[lane])))
		require.NoError(t, stores[lane].Migrate(t.Context()))
	}
	start := func(place int, plan killtest.Plan) (*killtest.Process, error) {
		app, schema := apps[place%lanes], schemas[place%lanes]
		return killtest.Start(t.Context(), "TestWorkerProcess", workerTask{
			Postgres: servicetest.Addr(t, "postgres"), Schema: schema, Table: money.table, Brokers: brokers,
			App: app, Topic: app, Next: next, Plan: plan,
		})
	}
	ch := kafka.New(kafka.Config{Brokers: brokers})
	t.Cleanup(func() { require.NoError(t, ch.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: next, Partitions: killtest.Partitions}))
	load := &killtest.Load{Channel: ch, Apps: apps, Event: func(id string, n int) event.Event {
		return in(id, Paid{Customer: fmt.Sprint(n % 20), Cents: n})
	}}
	require.NoError(t, load.Start(t.Context()))

	began := time.Now()
	campaign := &killtest.Campaign{
		Kills: 200, Workers: lanes * workers,
		Points: []killtest.Plan{
			{Point: pointBeforeHandler},
			{Point: pointBeforeEffect},
			{Point: pointAfterEffect},
			{Point: pointBeforeCommit},
			{Point: pointBeforeCommit, Within: 3 * time.Millisecond},
			{Point: pointAfterCommit},
			{Point: killtest.BeforeSettle},
			{Point: killtest.AfterSettle},
			{Point: killtest.BeforeProduce}, // of the relay
			{Point: killtest.AfterProduce},
		},
		Start: func(place, _ int, plan killtest.Plan) (*killtest.Process, error) { return start(place, plan) },
	}
	killed, err := campaign.Run(t.Context())
	require.NoError(t, err)
	want, err := load.End()
	require.NoError(t, err)
	took := time.Since(began)
	for place := range lanes * workers {
		p, err := start(place, killtest.Plan{})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
	}
	soon, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	require.NoError(t, load.Quiet(soon, "billing"))
	for _, s := range stores {
		require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, time.Minute, 20*time.Millisecond)
	}
	t.Logf("%d events; %d kills in %v: %v; all was done %v later",
		len(want), campaign.Kills, took.Round(time.Second), killed, (time.Since(began) - took).Round(time.Second))

	once, follow := make(map[string]int), make(map[string]bool)
	for id, app := range want {
		once[id] = 1
		follow[event.DerivedID(app+".billing", "/shop", id, 0)] = true
	}
	requireSame(t, once, money.booked(t))
	records, err := killtest.Read(t.Context(), brokers, next)
	require.NoError(t, err)
	published := make(map[string]bool)
	for _, r := range records {
		published[killtest.ID(r)] = true
	}
	requireSame(t, follow, published)
	t.Logf("%d events follow, %d came again", len(published), len(records)-len(published))
	for _, p := range campaign.Points {
		require.Positive(t, killed[p.Point], p.Point)
	}
}

// requireSame says what differs, and not all that there is.
func requireSame[V comparable](t *testing.T, want, got map[string]V) {
	t.Helper()
	var wrong []string
	for id, v := range want {
		if got[id] != v {
			wrong = append(wrong, fmt.Sprintf("%s: %v, not %v", id, got[id], v))
		}
	}
	for id, v := range got {
		if _, known := want[id]; !known {
			wrong = append(wrong, fmt.Sprintf("%s: %v, and nobody knows it", id, v))
		}
	}
	require.Empty(t, wrong[:min(len(wrong), 10)], "%d in all", len(wrong))
}
