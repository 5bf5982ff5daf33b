package bridgeaws

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
)

// bounded lets no call of a client take longer than most, and none that receives be cut:
// SQS would go on with it, and hide the next message for the one who doesn't listen any
// more until its lease is over; see https://github.com/aws/aws-sdk-js/issues/2350 and
// https://github.com/aws/aws-sdk-net/issues/1680.
func bounded(most time.Duration) func(*middleware.Stack) error {
	bound := middleware.InitializeMiddlewareFunc("leat/bounded",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			out middleware.InitializeOutput, meta middleware.Metadata, err error,
		) {
			if _, receives := in.Parameters.(*sqs.ReceiveMessageInput); receives {
				if err := ctx.Err(); err != nil {
					return out, meta, err
				}
				ctx = context.WithoutCancel(ctx)
			}
			ctx, cancel := context.WithTimeout(ctx, most)
			defer cancel()
			return next.HandleInitialize(ctx, in)
		})
	return func(s *middleware.Stack) error { return s.Initialize.Add(bound, middleware.Before) }
}

// patient is a client that doesn't lose answers. Smithy closes the body of a request when
// the answer begins, and its WriteTo returns io.EOF from then on; a transport that was not
// quite done with the body takes that for a failure, and closes the connection with the
// answer on it: https://github.com/aws/aws-sdk-go-v2/issues/2737. Then SQS has handed out
// a message that nobody got, or SNS takes one twice. Read returns io.EOF as it should.
type patient struct{ aws.HTTPClient }

// Do implements [aws.HTTPClient].
func (c patient) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = struct{ io.ReadCloser }{r.Body} // which has no WriteTo
	}
	return c.HTTPClient.Do(r) //nolint:wrapcheck // it is the client's
}
