package query_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// A page follows an answer with an EventSource. Who may see what is decided where the query
// is made.
func ExampleStream() {
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(context.Context, GetStock) (int, error) { return 3, nil })
	if err := b.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	stream := query.Stream[int](b, func(r *http.Request) (GetStock, error) {
		if r.Header.Get("Authorization") != "Bearer ann" {
			return GetStock{}, event.NewError("unauthorized", "who are you?")
		}
		return GetStock{Item: r.URL.Query().Get("item")}, nil
	}, query.StreamConfig{})
	server := httptest.NewServer(stream)
	fmt.Println(first(server.URL+"?item=tea", "Bearer ann"))
	fmt.Println(first(server.URL+"?item=tea", ""))
	// Output:
	// 200 data: 3
	// 401 {"title":"Unauthorized","status":401,"detail":"who are you?","code":"unauthorized"}
}

// first returns the status of an answer, and its first data.
func first(url, authorization string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if line := lines.Text(); strings.HasPrefix(line, "data:") || strings.HasPrefix(line, "{") {
			return fmt.Sprint(resp.StatusCode, " ", line)
		}
	}
	return resp.Status
}
