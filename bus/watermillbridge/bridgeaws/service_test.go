package bridgeaws_test

import (
	"context"
	"strings"
	"testing"
	"time"

	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/servicetest"
)

const (
	region    = "us-east-1"
	accountID = "000000000000" // the emulator's
)

// emulator returns the configuration of the emulator that all tests share.
func emulator(tb testing.TB) aws.Config {
	tb.Helper()
	return account(servicetest.Addr(tb, "ministack"))
}

// account returns the configuration of an endpoint that lets everybody in.
func account(endpoint string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(endpoint), HTTPClient: bridgeaws.Patient(awshttp.NewBuildableClient()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}

// open returns a channel that is closed at the end of the test.
func open(tb testing.TB, cfg bridgeaws.Config) *watermillbridge.Channel {
	tb.Helper()
	ch, err := bridgeaws.NewQuick(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(tb, ch.Close(ctx))
	})
	return ch
}

// own returns a name that nothing else has.
func own(name string) string { return name + "-" + strings.ToLower(event.NewID()) }

// queue is one at the emulator, as any other client sees it.
type queue struct {
	tb  testing.TB
	api *sqs.Client
	url *string
}

func queueOf(tb testing.TB, cfg aws.Config, topic, group string) queue {
	tb.Helper()
	return queueNamed(tb, cfg, bridgeaws.QueueName(topic, group))
}

func queueNamed(tb testing.TB, cfg aws.Config, name string) queue {
	tb.Helper()
	api := sqs.NewFromConfig(cfg)
	out, err := api.GetQueueUrl(tb.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	require.NoError(tb, err)
	return queue{tb, api, out.QueueUrl}
}

func (q queue) attributes() map[string]string {
	q.tb.Helper()
	out, err := q.api.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: q.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(q.tb, err)
	return out.Attributes
}

// isEmpty reports whether nothing is in the queue, neither in hand nor waiting.
func (q queue) isEmpty() bool {
	a := q.attributes()
	return a["ApproximateNumberOfMessages"] == "0" && a["ApproximateNumberOfMessagesNotVisible"] == "0"
}

// topics resolves the names of topics as a service on plain Watermill does.
func topics(tb testing.TB) wmsns.TopicResolver {
	tb.Helper()
	r, err := wmsns.NewGenerateArnTopicResolver(accountID, region)
	require.NoError(tb, err)
	return r
}
