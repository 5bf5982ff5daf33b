package event_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

func ExampleNew() {
	placed := event.New("/shop", "order-placed", []byte(`{"order":42}`))
	urgent := placed.WithKey("customer-7").WithExtension("priority", "high")
	fmt.Println(urgent.Type(), urgent.Key(), urgent.Extension("priority"), string(urgent.Data()))
	fmt.Println(placed.Key() == "", placed.Equal(urgent)) // With… changed a copy
	// Output:
	// order-placed customer-7 high {"order":42}
	// true false
}

func ExampleAttributes() {
	e := event.Attributes{
		ID:          "order-42-placed",
		Source:      "/shop",
		Type:        "order-placed",
		Time:        time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC),
		Key:         "customer-7",
		ContentType: "application/json",
		Extensions:  []event.Extension{{Name: event.ExtTenant, Value: "acme"}},
		Data:        []byte(`{"order":42}`),
	}.Event()
	fmt.Println(e)
	for name, value := range e.Extensions() {
		fmt.Println(name, value)
	}
	// Output:
	// order-placed /shop order-42-placed
	// partitionkey customer-7
	// tenant acme
}

func ExampleEvent_Validate() {
	err := event.New("/shop", "order-placed", nil).WithSubject("order\n42").Validate()
	var bad *event.AttributeError
	fmt.Println(errors.As(err, &bad), bad.Name, bad.Reason)
	// Output: true subject control character '\n'
}

func ExampleDerivedID() {
	// A handler that runs again publishes the same ids again.
	fmt.Println(event.DerivedID("shop.mailer", "/shop", "01JTAVQ8E9WXK6F0N7SDB5CZ2R", 0))
	fmt.Println(event.DerivedID("shop.mailer", "/shop", "01JTAVQ8E9WXK6F0N7SDB5CZ2R", 1))
	// Output:
	// d-81118CJ11MEFK1076ZDYF2SVX8
	// d-7SQY4S7R10XKSAV41MM0R4SCG4
}

func ExamplePermanent() {
	handler := func(_ context.Context, e event.Event) error {
		if e.ContentType() != "application/json" {
			return event.Permanent(fmt.Errorf("can't read %s", e.ContentType())) // no retry makes it JSON
		}
		return nil
	}
	err := handler(context.Background(), event.New("/shop", "order-placed", nil).WithData("text/plain", nil))
	fmt.Println(err)
	fmt.Println(event.VerdictOf(err).Kind)
	// Output:
	// permanent: can't read text/plain
	// failed for good
}

func ExampleRetryAfter() {
	err := event.RetryAfter(time.Minute, errors.New("the mail server says: too many"))
	fmt.Println(err)
	v := event.VerdictOf(fmt.Errorf("order 42: %w", err)) // marks are found when they are wrapped
	fmt.Println(v.Kind, v.After)
	// Output:
	// retry after 1m0s: the mail server says: too many
	// failed 1m0s
}

func ExamplePostpone() {
	err := event.Postpone(time.Second, errors.New("the customer isn't there yet"))
	fmt.Println(event.VerdictOf(err).Kind) // doesn't count as a failure
	// Output: postponed
}

// ErrSoldOut is declared once, by whoever answers with it.
var ErrSoldOut = event.NewError("sold_out", "there is none left")

func ExampleNewError() {
	answer := ErrSoldOut.WithMessage("the last teapot is gone").WithDetails(map[string]int{"left": 0})
	// Code, message and details travel; the other side compares codes.
	received := &event.Error{Code: answer.Code, Message: answer.Message, Details: answer.Details}
	fmt.Println(received)
	fmt.Println(errors.Is(received, ErrSoldOut), string(received.Details))
	// Output:
	// the last teapot is gone (sold_out)
	// true {"left":0}
}

func ExampleAppendJSON() {
	e := event.Attributes{
		ID: "42", Source: "/shop", Type: "order-placed", Time: time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC),
		ContentType: "application/json", Data: []byte(`{"order": 42}`),
	}.Event()
	b, err := event.AppendJSON(nil, e)
	fmt.Println(string(b), err)
	back, err := event.ParseJSON(b)
	fmt.Println(back.Equal(e), string(back.Data()), err)
	// Output:
	// {"specversion":"1.0","source":"/shop","type":"order-placed","datacontenttype":"application/json","id":"42","time":"2026-11-20T12:30:00Z","data":{"order": 42}} <nil>
	// true {"order": 42} <nil>
}

func ExampleParseJSON() {
	_, err := event.ParseJSON([]byte(`{"specversion":"1.0","id":"42","source":"/shop","type":"order-placed","id":"43"}`))
	fmt.Println(err)
	// Output: event: attribute "id": given twice
}

func ExampleAppendHeaders() {
	e := event.Attributes{
		ID: "42", Source: "/shop", Type: "order-placed", Subject: "50 €", Time: time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC),
		ContentType: "text/plain", Data: []byte("one teapot"),
	}.Event()
	headers, err := event.AppendHeaders(nil, event.HTTPHeaders, e)
	for _, h := range headers {
		fmt.Printf("%s: %s\n", h.Key, h.Value)
	}
	fmt.Println(err)
	back, err := event.ParseHeaders(event.HTTPHeaders, headers, e.Data())
	fmt.Println(back.Equal(e), err)
	// Output:
	// ce-specversion: 1.0
	// ce-id: 42
	// ce-source: /shop
	// ce-type: order-placed
	// ce-time: 2026-11-20T12:30:00Z
	// ce-subject: 50%20%E2%82%AC
	// content-type: text/plain
	// <nil>
	// true <nil>
}

func ExampleDecoder() {
	d := event.Decoder{MaxBytes: 64 << 10} // what a queue takes
	_, err := d.ParseJSON(make([]byte, 64<<10+1))
	fmt.Println(errors.Is(err, event.ErrTooLarge))
	// Output: true
}

func ExampleOnOutcome() {
	// The runtime makes the attempt; a handler sees it as its context.
	attempt := &event.Attempt{Context: new(event.Lease)}
	handler := func(ctx context.Context, _ event.Event) error {
		return event.OnOutcome(ctx, nil, func(_ context.Context, o event.Outcome) {
			fmt.Println("the delivery is", o.Kind)
		})
	}
	if err := handler(attempt, event.New("/shop", "order-placed", nil)); err != nil {
		fmt.Println(err)
	}
	attempt.RunAfter(context.Background(), event.Outcome{Kind: event.OutcomeAcked})
	// Output: the delivery is acked
}

func ExampleWithOrigin() {
	ctx := event.WithOrigin(context.Background(), event.Origin{CorrelationID: "request-7", Tenant: "acme"})
	e := event.Inherit(ctx, event.New("/shop", "order-placed", nil))
	fmt.Println(e.CorrelationID(), e.Extension(event.ExtTenant))
	// Output: request-7 acme
}
