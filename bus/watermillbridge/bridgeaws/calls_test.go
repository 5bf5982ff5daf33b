package bridgeaws_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
)

// slowly lets the calls of a name take longer.
func slowly(name string, by time.Duration) func(*middleware.Stack) error {
	wait := middleware.FinalizeMiddlewareFunc("slowly",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error,
		) {
			if awsmiddleware.GetOperationName(ctx) == name {
				select {
				case <-time.After(by):
				case <-ctx.Done():
				}
			}
			return next.HandleFinalize(ctx, in)
		})
	return func(s *middleware.Stack) error { return s.Finalize.Add(wait, middleware.Before) }
}

// A call of an endpoint that never answers ends, although the library's contexts don't.
func TestCallsEnd(t *testing.T) {
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	cfg := bridgeaws.Config{AWS: account(silent.URL), Existing: "arn:aws:sns:us-east-1:123456789012"}
	p := bridgeaws.NewPublisher(t, cfg, 100*time.Millisecond)
	err := p.Publish("orders", message.NewMessage("1", []byte("secret")))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "secret")
}

// An answer that comes before the transport is done with the request's body isn't lost.
func TestEarlyAnswers(t *testing.T) {
	answered := func(client func(aws.HTTPClient) aws.HTTPClient) error {
		request, err := smithyhttp.NewStackRequest().(*smithyhttp.Request).SetStream(bytes.NewReader([]byte("body")))
		require.NoError(t, err)
		built := request.Build(t.Context())
		_, err = client(transport(func(r *http.Request) (*http.Response, error) {
			_ = built.Body.Close() // as Smithy does when an answer begins
			_, err := io.Copy(io.Discard, r.Body)
			return nil, err
		})).Do(built) //nolint:bodyclose // there is none
		return err
	}
	require.NoError(t, answered(bridgeaws.Patient))
	require.ErrorIs(t, answered(func(c aws.HTTPClient) aws.HTTPClient { return c }), io.EOF, "if this passes, it can go")
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// A poll is not cut: its answer comes although nobody waits for it any more. One that
// didn't begin does not.
func TestPollsAreNotCut(t *testing.T) {
	t.Parallel()
	began, over := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		select {
		case <-over:
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			_, _ = io.WriteString(w, `{"Messages":[]}`)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	api := bridgeaws.NewQueues(t, bridgeaws.Config{AWS: account(server.URL)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.URL)})
		ended <- err
	}()
	<-began
	cancel()
	close(over)
	require.NoError(t, <-ended)
	_, err := api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.URL)})
	require.ErrorIs(t, err, context.Canceled)
}
