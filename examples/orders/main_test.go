package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Two want the last one at the same time: one gets it, and the other is told.
func TestTheLastOne(t *testing.T) {
	db := database(t)
	shop := start(t, configure(t, db, "-pause", "100ms"))
	all := []*buyer{enter(t, shop), enter(t, shop)}
	streams := make([]*stream, len(all))
	for i, b := range all {
		streams[i] = b.watch(b.order("place-order", "moon"))
	}
	ends := map[string]int{}
	for i, s := range streams {
		o, notes := s.until(final)
		ends[o.State+" "+o.Problem.Code]++
		require.Contains(t, notes, "reserving")
		if o.State == "succeeded" {
			require.Contains(t, notes, "charging")
			require.Positive(t, all[i].receipt(o))
		}
	}
	require.Equal(t, map[string]int{"succeeded ": 1, "failed sold_out": 1}, ends)
	require.Equal(t, []string{"moon"}, ordered(t, db))
	require.Equal(t, []Item{{"cup", 3}, {"moon", 0}, {"tea", 20}}, all[0].stock())
}

// What a buyer has ordered others don't see, and who has never been here can't order.
func TestBuyersAreApart(t *testing.T) {
	shop := start(t, configure(t, database(t), "-pause", "0s"))
	ann, bob := enter(t, shop), enter(t, shop)
	at := ann.order("place-order", "tea")
	o, _ := ann.watch(at).until(final)
	require.Equal(t, "succeeded", o.State)
	for _, path := range []string{at, at + "/events", at + "/result"} {
		answer := bob.get(path)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusNotFound, answer.StatusCode, path)
	}
	answer, err := http.Post(shop+"/commands/place-order", "application/json", strings.NewReader(`{"item":"tea"}`))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)
}

// Who watches an order, and a handler that takes too long, don't keep the shop open: it
// ends, as start makes sure, without an error.
func TestItClosesWhileSomebodyWatches(t *testing.T) {
	cfg := configure(t, database(t), "-pause", "1h")
	cfg.grace = 3 * time.Second
	b := enter(t, start(t, cfg))
	b.watch(b.order("place-order", "tea")).until(func(o seen) bool { return o.Progress.Note == "reserving" })
}

func TestThePageRunsNoOtherScripts(t *testing.T) {
	b := enter(t, start(t, configure(t, database(t))))
	for _, path := range []string{"/", "/shop.js", "/shop.css", "/stock", "/nothing"} {
		answer := b.get(path)
		require.NoError(t, answer.Body.Close())
		policy := answer.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'; script-src 'self';", path)
		require.NotContains(t, policy, "unsafe", path)
	}
}

func TestFlagsThatCantBe(t *testing.T) {
	t.Setenv("LEAT_POSTGRES", "")
	for flags, want := range map[string]string{
		"":                                "test/services/up postgres",
		"-postgres x -role king":          `not "king"`,
		"-postgres x -role web -kafka x":  "-role web needs -kafka and -redis",
		"-postgres x -role worker":        "-role worker needs -kafka and -redis",
		"-postgres x more":                `"more" is no flag`,
		"-postgres x -pause often":        "invalid value",
		"-postgres x -restock -unheard-o": "not defined",
	} {
		var said strings.Builder
		_, err := parse(strings.Fields(flags), &said)
		require.Error(t, err, flags)
		require.Contains(t, said.String(), want, flags)
		require.Contains(t, said.String(), "usage:", flags)
	}
}

// A worker that can't reach its database says so.
func TestNoDatabase(t *testing.T) {
	err := run(t.Context(), configure(t, "postgres://127.0.0.1:1/shop"), t.Output())
	require.ErrorContains(t, err, "PostgreSQL:")
}

// The stock is filled again where that is asked for, and only there.
func TestRestock(t *testing.T) {
	db := database(t)
	t.Run("one is sold", func(t *testing.T) {
		b := enter(t, start(t, configure(t, db, "-pause", "0s")))
		o, _ := b.watch(b.order("place-order", "cup")).until(final)
		require.Equal(t, "succeeded", o.State)
	})
	for _, at := range []struct {
		flag string
		cups int
	}{{"-restock=false", 2}, {"-restock", 3}} {
		t.Run(at.flag, func(t *testing.T) {
			b := enter(t, start(t, configure(t, db, at.flag)))
			require.Contains(t, b.stock(), Item{"cup", at.cups})
		})
	}
}

// stock returns what the page shows.
func (b *buyer) stock() (items []Item) {
	b.t.Helper()
	answer := b.get("/stock")
	defer answer.Body.Close()
	require.NoError(b.t, json.NewDecoder(answer.Body).Decode(&items))
	return items
}

// ordered returns the items of all orders in a database.
func ordered(t *testing.T, db string) []string {
	t.Helper()
	rows, err := connect(t, db).Query(t.Context(), "select item from shop.orders order by id")
	require.NoError(t, err)
	items, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return items
}
