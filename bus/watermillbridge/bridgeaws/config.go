package bridgeaws

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// Config says which account to use and how. Only AWS is required; the other fields have
// a default that is safe.
type Config struct {
	// AWS is the configuration of the clients of SNS and SQS, as config.LoadDefaultConfig
	// returns it. Region and Credentials are required; BaseEndpoint is for emulators.
	AWS aws.Config

	// Lease is how long a message can be in hand, its retries included, before SQS gives
	// it to somebody else, whether its member lives or not: whole seconds, below 12 h;
	// 0: 5 min.
	Lease time.Duration
	// Subscriptions is how many messages a member handles at once of each topic; 0: 4. So
	// many polls wait for the queue of the topic, and for that of its redrives.
	Subscriptions int
	// Poll is how long a poll waits for a message: whole seconds, 20 at most; 0: 5 s. SQS
	// charges for each. A Close waits for those that run, for 10 s at most: what one that
	// is cut would have brought is nobody's until the lease is over.
	Poll time.Duration

	// KMSKey is the key that encrypts new queues and topics: the id, ARN or alias of one
	// that you manage, whose policy lets sns.amazonaws.com use it (kms:GenerateDataKey*
	// and kms:Decrypt). SNS delivers nothing to a queue whose key it can't use, and tells
	// nobody. "": SQS's own keys for queues, none for topics.
	KMSKey string

	// Existing makes nothing, and checks of a queue only that it is there: topics, queues
	// and raw subscriptions were made elsewhere, by the names that [TopicName] and
	// [QueueName] return. It is what the ARNs of all topics begin with:
	// arn:aws:sns:eu-central-1:123456789012. "" makes what isn't there.
	Existing string
}

const (
	defaultLease         = 5 * time.Minute
	defaultSubscriptions = 4
	defaultPoll          = 5 * time.Second
	longestPoll          = 20 * time.Second
	longestLease         = 12*time.Hour - margin // what SQS allows less what is added
)

// withDefaults returns c with its zero fields filled, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Subscriptions == 0 {
		c.Subscriptions = defaultSubscriptions
	}
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("bridgeaws: Config."+format, args...))
		}
	}
	bad(c.AWS.Region == "", "AWS.Region is empty")
	bad(c.AWS.Credentials == nil, "AWS.Credentials is nil")
	bad(c.Lease < time.Second || c.Lease > longestLease || c.Lease%time.Second != 0,
		"Lease is %v: it must be whole seconds, from 1 s to %v", c.Lease, longestLease)
	bad(c.Poll < time.Second || c.Poll > longestPoll || c.Poll%time.Second != 0,
		"Poll is %v: it must be whole seconds, from 1 s to %v", c.Poll, longestPoll)
	bad(c.Subscriptions < 0, "Subscriptions is negative")
	bad(strings.HasPrefix(c.KMSKey, "alias/aws/"), "KMSKey is %s: SNS can't use AWS's own keys, and would deliver nothing", c.KMSKey)
	if c.Existing != "" {
		a, err := arn.Parse(c.Existing + ":topic")
		bad(err != nil || a.Service != "sns" || a.Resource != "topic" || a.AccountID == "" || a.Region != c.AWS.Region,
			"Existing is %q: topics of %s have an ARN like arn:aws:sns:%[2]s:123456789012", c.Existing, c.AWS.Region)
	}
	return c, errors.Join(errs...)
}
