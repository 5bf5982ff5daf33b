package bridgeaws

import (
	"fmt"
	"strings"
	"testing"

	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// sent returns a message as it comes out of a queue with raw delivery.
func sent(t *testing.T, m *message.Message) *sqstypes.Message {
	t.Helper()
	in := marshaler{}.Marshal("arn", m)
	require.LessOrEqual(t, len(in.MessageAttributes), 10, "SNS drops a message with more")
	out := &sqstypes.Message{Body: in.Message, MessageId: aws.String("of SQS"), MessageAttributes: map[string]sqstypes.MessageAttributeValue{}}
	for name, value := range in.MessageAttributes {
		require.NotEmpty(t, *value.StringValue, "SNS refuses an attribute without a value")
		require.Equal(t, "String", *value.DataType)
		require.Regexp(t, `^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`, name)
		require.NotContains(t, *value.StringValue, "\x00")
		out.MessageAttributes[name] = sqstypes.MessageAttributeValue{DataType: value.DataType, StringValue: value.StringValue}
	}
	return out
}

// Any metadata comes out as it went in, though a message has room for ten attributes,
// whose values are texts.
func TestAnyMetadata(t *testing.T) {
	many := message.Metadata{}
	for i := range 30 {
		many[fmt.Sprintf("name-%d", i)] = "v"
	}
	for name, meta := range map[string]message.Metadata{
		"none": {}, "as many as there is room": {"1": "", "2": "2", "3": "3", "4": "4", "5": "5", "6": "6", "7": "7", "8": "8", "9": "9"}, "many": many,
		"no text":  {"a": "", "b": "\xff", "c": "a\x00b", "d": "\uFFFE", "e": "\uFFFD", "f": "\r\n\t", "g": "🌊\u0085\u007f"},
		"no names": {"": "v", ".a": "v", "a.": "v", "a..b": "v", "AWS.x": "v", "amazon.x": "v", "a b": "v", "ü": "v", strings.Repeat("n", 257): "v", "leat_packed": "v"},
	} {
		m := message.NewMessage("id", message.Payload("body"))
		m.Metadata = meta
		got := unmarshal(sent(t, m))
		require.Equal(t, meta, got.Metadata, name)
		require.Equal(t, "id", got.UUID, name)
		require.Equal(t, "body", string(got.Payload), name)
	}
	for _, uuid := range []string{"", "\xff\x00"} {
		require.Equal(t, uuid, unmarshal(sent(t, message.NewMessage(uuid, nil))).UUID)
	}
}

// A plain subscriber sees metadata that it can see as attributes of their names.
func TestPlainMetadata(t *testing.T) {
	m := message.NewMessage("id", nil)
	m.Metadata = message.Metadata{"content-type": "application/json", "ce_type": "t", "a.b_c-D9": "ü"}
	got, err := wmsqs.DefaultMarshalerUnmarshaler{}.Unmarshal(sent(t, m))
	require.NoError(t, err)
	require.Equal(t, m.Metadata, got.Metadata)
	require.Equal(t, "id", got.UUID)
}

// Nothing that anybody else may send lets a message come again and again.
func TestUnmarshalNeverFails(t *testing.T) {
	binary := sqstypes.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: []byte("\x00\xff")}
	got := unmarshal(&sqstypes.Message{
		MessageId: aws.String("of SQS"), Body: aws.String("b"),
		MessageAttributes: map[string]sqstypes.MessageAttributeValue{
			"leat_packed": {DataType: aws.String("String"), StringValue: aws.String("no JSON")},
			"number":      {DataType: aws.String("Number.int"), StringValue: aws.String("1")},
			"binary":      binary,
		},
	})
	require.Equal(t, "of SQS", got.UUID)
	require.Equal(t, message.Metadata{"leat_packed": "no JSON", "number": "1", "binary": "\x00\xff"}, got.Metadata)
	got = unmarshal(&sqstypes.Message{MessageAttributes: map[string]sqstypes.MessageAttributeValue{wmsqs.UUIDAttribute: binary, "none": {}}})
	require.Equal(t, "\x00\xff", got.UUID, "the library would panic")
	require.Empty(t, unmarshal(&sqstypes.Message{}).UUID)
}
