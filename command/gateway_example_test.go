package command_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
)

func ExampleGateway() {
	b := bus.New(bus.Config{Channel: memory.New()})
	command.HandleResult(b, func(_ context.Context, c PlaceOrder) (Receipt, error) { return Receipt{Number: "42"}, nil })

	mux := http.NewServeMux()
	mux.Handle("/", command.Gateway(b, command.GatewayConfig{
		Operations: command.NewMemory(command.MemoryConfig{}),
		Authorize: func(r *http.Request, _ command.Access) (command.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer ann's" {
				return command.Principal{}, command.ErrUnauthenticated
			}
			return command.Principal{Subject: "ann"}, nil
		},
	}))
	command.Expose[PlaceOrder](b)

	if err := b.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/commands/place-order", strings.NewReader(`{"Item":"tea"}`))
	r.Header.Set("Authorization", "Bearer ann's")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", "wait=10")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"Number":"42"}
}
