package bridgeaws

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// mostAttributes is how many a message can have: SNS drops one with more on its way to
	// a queue with raw delivery, and tells nobody.
	mostAttributes = 10
	// packed is the attribute with the metadata that can't be attributes, or has no room:
	// values that are empty or no text, and names that SNS refuses. It is JSON, with
	// values in base64.
	packed = "leat_packed"
)

// marshaler writes messages as watermill-aws does, for any metadata.
type marshaler struct{}

// Marshal implements [wmsns.Marshaler].
func (marshaler) Marshal(topic wmsns.TopicArn, m *message.Message) *sns.PublishInput {
	all := maps.Clone(m.Metadata)
	all[wmsqs.UUIDAttribute] = m.UUID
	attributes, rest := make(map[string]snstypes.MessageAttributeValue), make(map[string][]byte)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := all[name]
		if len(attributes) == mostAttributes-1 || !isName(name) || !isText(value) {
			rest[name] = []byte(value)
			continue
		}
		attributes[name] = text(value)
	}
	if len(rest) > 0 {
		packing, _ := json.Marshal(rest) //nolint:errchkjson // bytes have no way to fail
		attributes[packed] = text(string(packing))
	}
	return &sns.PublishInput{TopicArn: aws.String(string(topic)), Message: aws.String(string(m.Payload)), MessageAttributes: attributes}
}

func text(s string) snstypes.MessageAttributeValue {
	return snstypes.MessageAttributeValue{DataType: aws.String(wmsqs.AWSStringDataType), StringValue: aws.String(s)}
}

// isName reports whether an attribute can have this name: ASCII letters, digits, _, - and
// single dots within, and nothing of Amazon's.
func isName(s string) bool {
	parts := strings.Split(s, ".")
	for _, part := range parts {
		if part == "" || plain(part) != part {
			return false
		}
	}
	reserved := len(parts) > 1 && (strings.EqualFold(parts[0], "aws") || strings.EqualFold(parts[0], "amazon"))
	return len(s) <= 256 && s != packed && !reserved
}

// isText reports whether an attribute can have this value: not empty, and of the
// characters that SQS leaves as they are.
func isText(s string) bool {
	odd := strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
	return s != "" && !odd && utf8.ValidString(s)
}

// unmarshal reads a message. It never fails: what can't be read would come again until SQS
// drops it.
func unmarshal(from *sqstypes.Message) *message.Message {
	all := make(map[string]string)
	for name, value := range from.MessageAttributes {
		all[name] = aws.ToString(value.StringValue)
		if value.StringValue == nil {
			all[name] = string(value.BinaryValue)
		}
	}
	unpack(all)
	uuid, ok := all[wmsqs.UUIDAttribute]
	if !ok {
		uuid = aws.ToString(from.MessageId)
	}
	delete(all, wmsqs.UUIDAttribute)
	m := message.NewMessage(uuid, message.Payload(aws.ToString(from.Body)))
	m.Metadata = all
	return m
}

// unpack puts what was packed to the other metadata.
func unpack(all map[string]string) {
	var rest map[string][]byte
	if json.Unmarshal([]byte(all[packed]), &rest) != nil {
		return
	}
	delete(all, packed)
	for name, value := range rest {
		all[name] = string(value)
	}
}
