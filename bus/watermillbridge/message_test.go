package watermillbridge

import (
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// Metadata comes out as it went in, whatever its names are.
func TestMetadataComesOutAsItWentIn(t *testing.T) {
	for name, metadata := range map[string]message.Metadata{
		"none":                {},
		"an extension":        {"tenant": "acme"},
		"correlation":         {"correlation_id": "c"},
		"no extension's name": {"_watermill_requeuer_retries": "1", "Some-Header": "x", "ünlaut": "ö"},
		"an attribute's name": {"id": "1", "type": "t", "specversion": "0", "data": "d", "correlationid": "k", "notbefore": "soon"},
		"the rest's own name": {"watermill": "x"},
		"empty":               {"tenant": "", "other_name": "", "ce_subject": ""},
		"a long name":         {"averyveryverylongname": "x"},
		"attributes":          {"ce_type": "t", "ce_source": "/s", "ce_subject": "sub", "ce_datacontenttype": "text/plain", "ce_dataschema": "https://example.org/s", "ce_time": "2023-11-06T04:28:20.5Z", "partitionkey": "k"},
		"all sorts":           {"tenant": "acme", "a_b": "1", "name": "main.Ordered", "correlation_id": "c"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message.NewMessage("uuid", []byte("data"))
			m.Metadata = metadata
			e, err := fromMessage(m, "/watermill", "topic")
			require.NoError(t, err)
			require.NoError(t, e.Validate())
			assert.Equal(t, "uuid", e.ID())

			b, err := event.AppendJSON(nil, e)
			require.NoError(t, err)
			e, err = event.ParseJSON(b)
			require.NoError(t, err)
			got := toMessage(e)
			assert.Equal(t, "uuid", got.UUID)
			assert.Equal(t, "data", string(got.Payload))
			for name, value := range metadata {
				v, there := got.Metadata[name]
				assert.True(t, there, name)
				assert.Equal(t, value, v, name)
			}
		})
	}
}

// An event that was published natively stays what it is when its message is published
// again.
func TestEventsPassThroughWatermill(t *testing.T) {
	e := event.Attributes{
		ID: "1", Source: "/shop", Type: "order-placed", Subject: "42", Key: "k", ContentType: "application/json",
		Schema: "https://example.org/s", Time: time.Date(2023, 11, 6, 4, 28, 20, 123456789, time.UTC), Data: []byte(`{}`),
		Extensions: []event.Extension{{Name: event.ExtCorrelationID, Value: "c"}, {Name: event.ExtTenant, Value: "acme"}},
	}.Event()
	m := toMessage(e)
	assert.Equal(t, "c", m.Metadata["correlation_id"])
	again, err := fromMessage(m.Copy(), "/other", "other")
	require.NoError(t, err)
	assert.True(t, e.Equal(again), "%v\n%v", e, again)

	delayed := e.WithNotBefore(time.Now())
	again, err = fromMessage(toMessage(delayed), "/other", "other")
	require.NoError(t, err)
	assert.True(t, again.NotBefore().IsZero(), "it was for this delivery")
}

func TestWhatIsNoTimeIsRefused(t *testing.T) {
	m := message.NewMessage("uuid", nil)
	m.Metadata.Set(MetadataTime, "soon")
	_, err := fromMessage(m, "/s", "t")
	require.ErrorContains(t, err, `ce_time of message "uuid" is no time`)
}

// A message of a service that knows no events is the same event each time it comes, also
// when it is redriven.
func TestPlainMessagesStayTheSame(t *testing.T) {
	m := message.NewMessage("uuid", []byte("data"))
	m.Metadata.Set("Some-Header", "x")
	e, err := Decode("orders", m)
	require.NoError(t, err)
	l := letter{message: m}
	again, err := Decode("orders", l.redriven())
	require.NoError(t, err)
	assert.True(t, e.Equal(again), "%v\n%v", e, again)
	assert.True(t, e.Time().IsZero())
	m.Metadata.Set(MetadataTime, "2023-11-06T04:28:20Z")
	e, err = Decode("orders", m)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2023, 11, 6, 4, 28, 20, 0, time.UTC), e.Time().UTC())
}

func TestNackDelays(t *testing.T) {
	assert.Zero(t, nackDelay(1))
	assert.Equal(t, 10*time.Millisecond, nackDelay(2))
	assert.Equal(t, 20*time.Millisecond, nackDelay(3))
	assert.Equal(t, 10*time.Second, nackDelay(12))
	assert.Equal(t, 10*time.Second, nackDelay(1000))
}

// Values that no attribute may have, and names that mean the same, come out as they went
// in, too.
func TestAwkwardMetadataComesOutAsItWentIn(t *testing.T) {
	for name, metadata := range map[string]message.Metadata{
		"lines":          {"error": "one\ntwo", "correlation_id": "a\tb"},
		"both names":     {"tenant": "a", "ce_tenant": "b"},
		"correlation":    {"correlation_id": "a", "ce_correlationid": "b"},
		"the rest's own": {"ce_watermill": "x", "Some-Header": "y"},
		"a delay":        {"ce_notbefore": "2999-01-01T00:00:00Z"},
		"both keys":      {"partitionkey": "a", "ce_partitionkey": "b"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // metadata comes in any order
				m := message.NewMessage("uuid", nil)
				m.Metadata = metadata
				e, err := fromMessage(m, "/watermill", "topic")
				require.NoError(t, err)
				require.NoError(t, e.Validate())
				require.True(t, e.NotBefore().IsZero())
				got := toMessage(e)
				for name, value := range metadata {
					require.Equal(t, value, got.Metadata[name], name)
				}
			}
		})
	}
}

// A dead letter is hardly larger than what failed: it has to find room where that did.
func TestLettersAreHardlyLarger(t *testing.T) {
	failed, err := Encode(event.New("/s", "t", make([]byte, 1000)).WithExtension("markup", strings.Repeat("<&>", 2000)))
	require.NoError(t, err)
	letter, err := newLetter("h", failed, event.Cause{Text: strings.Repeat("<", event.MaxCauseText), Stack: strings.Repeat("\t", event.MaxCauseStack/2)})
	require.NoError(t, err)
	require.Less(t, sizeOf(letter), sizeOf(failed)+10<<10)
	read, err := readLetter("topic", "g", letter)
	require.NoError(t, err)
	require.Equal(t, failed.Metadata, read.message.Metadata)
}
